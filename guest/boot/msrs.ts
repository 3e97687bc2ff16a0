/**
 * Model-specific registers as the boot protocols expect them. Numbers and
 * names are those of the Intel SDM, volume 4.
 *
 * @module
 */
import { changedMsrs, type CpuConfig } from "./cpu_template.ts";
import { Msr } from "../../ffi/kvm/msr.ts";
import type { MsrValue } from "../../ffi/kvm/vcpu.ts";

/** `IA32_MISC_ENABLE`: `REP MOVS` and `REP STOS` may use fast strings. */
const FAST_STRINGS = 1n;

/** `IA32_MTRR_DEF_TYPE`: MTRRs on, all memory write-back. */
const MTRR_ENABLE = 1n << 11n;
const WRITE_BACK = 6n;

/**
 * The boot MSRs of a vCPU, for {@linkcode Vcpu.setMsrs}.
 *
 * The TSC is set to 0 on each: KVM takes equal writes close together as the
 * wish for synchronised counters.
 *
 * @param read an MSR as KVM has it, once CPUID is set; undefined: it has none
 * @param changes what else is otherwise
 * @throws {VireoError} something that there is not
 */
export function bootMsrs(
  read: (index: number) => bigint | undefined,
  changes: CpuConfig = {},
): MsrValue[] {
  // It says which parts of the PMU are not there.
  const miscEnable = read(Msr.MISC_ENABLE) ?? 0n;
  return [
    [Msr.SYSENTER_CS, 0n],
    [Msr.SYSENTER_ESP, 0n],
    [Msr.SYSENTER_EIP, 0n],
    [Msr.STAR, 0n],
    [Msr.CSTAR, 0n],
    [Msr.KERNEL_GS_BASE, 0n],
    [Msr.SYSCALL_MASK, 0n],
    [Msr.LSTAR, 0n],
    [Msr.TSC, 0n],
    [Msr.MTRR_DEF_TYPE, MTRR_ENABLE | WRITE_BACK],
    [Msr.MISC_ENABLE, miscEnable | FAST_STRINGS],
    ...changedMsrs(changes, read),
  ];
}
