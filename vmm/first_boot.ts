/**
 * What only a machine that begins with a kernel needs: the kernel, what it finds
 * in its memory, and its vCPUs before the first instruction. A restored one has
 * all of that from its snapshot, and doesn't load this.
 *
 * @module
 */
import type { Kvm, Vm } from "../ffi/kvm/kvm.ts";
import { Msr } from "../ffi/kvm/msr.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import {
  type BootState,
  deviceWords,
  kernelHasAcpi,
  loadKernel,
  setUpBoot,
  setUpVcpus,
  writeMpTable,
} from "../guest/boot/mod.ts";
import { type KernelImage, openPatiently } from "../guest/kernel/mod.ts";
import type { GuestMemory } from "../guest/memory.ts";
import type { ResolvedConfig } from "./config/mod.ts";
import { acpiTables } from "./lazy.ts";
import type { DeviceSpec } from "./messages.ts";

/** A kernel that is opened, and how it is begun. */
export class FirstBoot implements Disposable {
  readonly #kernel: KernelImage;
  readonly #config: ResolvedConfig;
  #state: BootState | undefined;

  private constructor(kernel: KernelImage, config: ResolvedConfig) {
    this.#kernel = kernel;
    this.#config = config;
  }

  /**
   * Opens the kernel of `config`.
   *
   * @param onLog told one line at a time
   * @throws {VireoError} when it is no kernel that can be booted
   */
  static async open(
    config: ResolvedConfig,
    onLog?: (message: string) => void,
  ): Promise<FirstBoot> {
    const { kernel, entry, memory } = config;
    const opened = await openPatiently(kernel, entry, memory, onLog);
    return new FirstBoot(opened, config);
  }

  /** The guest's writes of LSTAR exit: its SYSCALLs are to be carried. */
  carrySyscalls(vm: Vm): void {
    vm.exitOnMsrWrite(Msr.LSTAR);
  }

  /**
   * Writes kernel, command line and tables.
   *
   * @returns whether the guest finds its devices by ACPI
   * @throws {VireoError} the kernel doesn't fit
   */
  async load(
    memory: GuestMemory,
    devices: readonly DeviceSpec[],
  ): Promise<boolean> {
    const kernel = loadKernel(memory, this.#kernel);
    const { cpus, transport, commandLine, initrd } = this.#config;
    const acpi = this.#config.acpi ?? kernelHasAcpi(memory, kernel);
    const onPci = transport === "pci";
    const ofVirtio = devices.filter((device) => device.plain === undefined);
    const virtio = onPci ? [] : ofVirtio;
    const pci = onPci ? ofVirtio.map(({ gsi }) => gsi) : undefined;
    const plain = devices.flatMap(({ plain }) => plain ?? []);
    const tables = { cpus, virtio, pci, plain };
    this.#state = setUpBoot(memory, this.#kernel, kernel, {
      commandLine: commandLine.add(...(acpi ? [] : deviceWords(virtio))),
      initrd,
      rsdp: acpi
        ? (await acpiTables()).writeAcpiTables(memory, tables)
        : undefined,
    });
    writeMpTable(memory, cpus);
    return acpi;
  }

  /** Sets the vCPUs up as firmware would. */
  setUp(vcpus: readonly Vcpu[], kvm: Kvm): void {
    setUpVcpus(vcpus, kvm, this.#state!, this.#config);
  }

  /** Closes the kernel. */
  [Symbol.dispose](): void {
    this.#kernel[Symbol.dispose]();
  }
}
