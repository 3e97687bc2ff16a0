/**
 * vCPUs as firmware leaves them to a kernel.
 *
 * @module
 */
import type { Kvm } from "../../ffi/kvm/kvm.ts";
import type { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { checkCapabilities } from "./cpu_template.ts";
import { type CpuidOptions, vcpuCpuid } from "./cpuid.ts";
import { setLocalInterrupts } from "./lapic.ts";
import type { BootState } from "./load.ts";
import { bootMsrs } from "./msrs.ts";

/** What CPUID says of all vCPUs. */
export type FirmwareOptions = Omit<
  CpuidOptions,
  "cpu" | "cpus" | "tscKhz" | "tscDeadline"
>;

/**
 * Sets up all vCPUs of a machine. Only the first one has registers: KVM starts
 * the others by SIPI.
 *
 * @throws {VireoError} `cpuConfig` wants what this host's KVM has not
 */
export function setUpVcpus(
  vcpus: readonly Vcpu[],
  kvm: Kvm,
  state: BootState,
  options: FirmwareOptions,
): void {
  const { cpuConfig } = options;
  checkCapabilities(cpuConfig ?? {}, kvm);
  const supported = kvm.getSupportedCpuid();
  const { hasTscDeadlineTimer: tscDeadline } = kvm;
  const ofAll = { ...options, cpus: vcpus.length, tscDeadline };
  vcpus.forEach((vcpu, cpu) => {
    const tscKhz = vcpu.getTscKhz();
    vcpu.setCpuid2(vcpuCpuid(supported, { ...ofAll, cpu, tscKhz }));
    vcpu.setMsrs(bootMsrs((index) => vcpu.getMsr(index), cpuConfig));
    const lapic = vcpu.getLapic();
    setLocalInterrupts(lapic);
    vcpu.setLapic(lapic);
  });
  const [first] = vcpus;
  first!.setFpu();
  const sregs = first!.getSregs();
  state.enterMode(sregs);
  first!.setSregs(sregs);
  first!.setRegs(state.registers);
}
