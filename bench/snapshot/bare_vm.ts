/**
 * The virtual machine alone, without isolates and devices: how long KVM takes to
 * make one that goes on from a snapshot, and to put it back.
 *
 * @module
 */
import { Kvm, type Vm } from "../../ffi/kvm/kvm.ts";
import type { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { restoreVcpu } from "../../ffi/kvm/vcpu_state.ts";
import { restoreVm } from "../../ffi/kvm/vm_state.ts";
import { Layout } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import type { Snapshot } from "../../mod.ts";

/** A VM at a snapshot. It never runs. */
export class BareVm implements Disposable {
  readonly #snapshot: Snapshot;
  readonly #parts = new DisposableStack();
  readonly #memory: GuestMemory;
  readonly #vm: Vm;
  readonly #vcpus: Vcpu[];

  /** Makes it, memory slots first. */
  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    using kvm = new Kvm();
    const { memory, state } = snapshot;
    this.#memory = this.#parts.use(GuestMemory.allocate(memory.size));
    this.#vm = this.#parts.use(kvm.createVm());
    this.#vm.setTssAddr(Layout.TSS);
    this.#vm.setIdentityMapAddr(Layout.IDENTITY_MAP);
    this.#memory.regions.forEach(({ guestAddress, size, hostAddress }, slot) =>
      this.#vm.setUserMemoryRegion(slot, guestAddress, size, hostAddress)
    );
    this.#vm.createIrqchip();
    this.#vm.createPit2();
    this.#vcpus = state.vcpus.map((_, id) =>
      this.#parts.use(this.#vm.createVcpu(id))
    );
    this.reset();
  }

  /** Puts memory and all that KVM knows back to the snapshot. */
  reset(): void {
    const { memory, state } = this.#snapshot;
    memory.mapOver(this.#memory.handles());
    restoreVm(this.#vm.fd, state.vm);
    this.#vcpus.forEach((vcpu, id) => restoreVcpu(vcpu, state.vcpus[id]!));
  }

  /** Writes to `pages` pages, as a guest might have. */
  dirty(pages: number): void {
    const { u8 } = this.#memory.regions[0]!;
    for (let page = 0; page < pages; page++) u8[(page * 37 % 8192) << 12] = 1;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#parts.dispose();
  }
}
