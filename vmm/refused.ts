/**
 * What KVM without VMX and SVM refuses: it emulates the guest's kernel mode,
 * and its emulator doesn't know every instruction. `emulate/` answers these,
 * and is loaded only on such a host.
 *
 * @module
 */
import { requireCapabilities } from "../ffi/kvm/capabilities.ts";
import { Kvm } from "../ffi/kvm/kvm.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import type { GuestMemory } from "../guest/memory.ts";

/** How often each instruction was carried out, by its name. */
export type StepCounts = Record<string, number>;

/** All that a vCPU's loop knows of `emulate/`. */
export interface RefusedInstructions extends Disposable {
  /** How often each instruction was carried out. */
  readonly counts: StepCounts;
  /**
   * KVM's emulator gave up at RIP. `handled`: the guest goes on.
   *
   * @throws {GuestAddressError} the instruction's operands are not in RAM
   */
  refused(): "handled" | "unknown";
  /** The guest's write of LSTAR is to be done. */
  lstarWritten(): void;
  /** The vCPU stopped at a breakpoint, or after a step; false: not its own. */
  stopped(): boolean;
  /** What a snapshot keeps, as plain data. */
  save(): unknown;
  /** Goes on as saved, once the vCPU's registers and MSRs are restored. */
  restore(state: unknown): void;
}

/** A module that answers refused instructions. */
export interface Emulation {
  /** Makes one vCPU's, in its thread; `attach` gives the guest's RAM. */
  readonly RefusedInstructions: new (
    vcpu: Vcpu,
    attach: () => GuestMemory,
  ) => RefusedInstructions;
}

/** Not a literal in `import()`: that is read at the start, needed or not. */
const EMULATION = new URL("../emulate/mod.ts", import.meta.url);

let found: { module: string | undefined } | undefined;

/**
 * The module that vCPUs may need on this host, an {@linkcode Emulation};
 * undefined where the CPU itself runs the guest's kernel mode. The host is
 * asked once, also for what every machine needs of it.
 *
 * @throws {VireoError} there is no KVM, or it has not all of that
 */
export function emulationOfHost(): string | undefined {
  if (found === undefined) {
    using kvm = new Kvm();
    requireCapabilities(kvm);
    found = { module: emulationFor(kvm) };
  }
  return found.module;
}

/** The same for one KVM. */
export function emulationFor(
  kvm: Pick<Kvm, "isHardwareAssisted">,
): string | undefined {
  return kvm.isHardwareAssisted ? undefined : EMULATION.href;
}
