/**
 * `struct kvm_run`: the page that KVM shares with the vCPU's thread (KVM API
 * §5).
 *
 * @module
 */
import { Mapping } from "../memory/mmap.ts";

/** `KVM_EXIT_*` reasons. */
export const Exit = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  IRQ_WINDOW_OPEN: 7,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  SET_TPR: 11,
  TPR_ACCESS: 12,
  NMI: 16,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
  IOAPIC_EOI: 26,
  X86_RDMSR: 29,
  X86_WRMSR: 30,
  DIRTY_RING_FULL: 31,
  X86_BUS_LOCK: 33,
  NOTIFY: 37,
  MEMORY_FAULT: 39,
} as const;

/** `KVM_INTERNAL_ERROR_*` suberrors. */
export const InternalError = {
  EMULATION: 1,
  SIMUL_EX: 2,
  DELIVERY_EV: 3,
  UNEXPECTED_EXIT_REASON: 4,
} as const;

/** Byte offsets in `struct kvm_run`. */
export const KvmRunOffset = {
  immediate_exit: 1,
  exit_reason: 8,
  if_flag: 13,
  // union
  union: 32,
  hardware_exit_reason: 32,
  hardware_entry_failure_reason: 32,
  fail_entry_cpu: 40,
  exception: 32,
  exception_error_code: 36,
  notify_flags: 32,
  memory_fault_flags: 32,
  memory_fault_gpa: 40,
  memory_fault_size: 48,
  system_event_type: 32,
  system_event_ndata: 36,
  system_event_data: 40,
  io_direction: 32,
  io_size: 33,
  io_port: 34,
  io_count: 36,
  io_data_offset: 40,
  mmio_phys_addr: 32,
  mmio_data: 40,
  mmio_len: 48,
  mmio_is_write: 52,
  msr_error: 32,
  msr_data: 48,
  internal_suberror: 32,
  internal_ndata: 36,
  internal_data: 40,
  // the layout for suberror EMULATION with EXIT_ON_EMULATION_FAILURE
  emulation_flags: 40,
  emulation_insn_size: 48,
  emulation_insn_bytes: 49,
} as const;

/** `KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES`. */
const EMULATION_FLAG_INSTRUCTION_BYTES = 1;

/** Names of exit reasons, for messages. */
export function exitName(reason: number): string {
  for (const [name, value] of Object.entries(Exit)) {
    if (value === reason) return `KVM_EXIT_${name}`;
  }
  return `KVM_EXIT_${reason}`;
}

/** Typed access to one vCPU's `struct kvm_run`. Getters allocate nothing. */
export class KvmRun implements Disposable {
  /** The whole mapping as bytes: PIO data lies past the structure. */
  readonly u8: Uint8Array;
  /** The same as little-endian 16-bit words. */
  readonly u16: Uint16Array;
  /** The same as little-endian 32-bit words. */
  readonly u32: Uint32Array;
  readonly #mapping: Mapping;

  /** Maps the run structure of the vCPU `fd`. */
  constructor(fd: number, size: number) {
    this.#mapping = new Mapping(size, { fd, name: "struct kvm_run" });
    this.u8 = new Uint8Array(this.#mapping.buffer);
    this.u16 = new Uint16Array(this.#mapping.buffer);
    this.u32 = new Uint32Array(this.#mapping.buffer);
  }

  /** Why `KVM_RUN` returned: one of {@linkcode Exit}. */
  get exitReason(): number {
    return this.u32[KvmRunOffset.exit_reason >> 2]!;
  }

  /** The guest's RFLAGS.IF at the exit. */
  get interruptsEnabled(): boolean {
    return this.u8[KvmRunOffset.if_flag] !== 0;
  }

  /** Exit IO: true when the guest writes (OUT). */
  get ioIsOut(): boolean {
    return this.u8[KvmRunOffset.io_direction] !== 0;
  }

  /** Exit IO: bytes per access, 1, 2 or 4. */
  get ioSize(): number {
    return this.u8[KvmRunOffset.io_size]!;
  }

  /** Exit IO: the port. */
  get ioPort(): number {
    return this.u16[KvmRunOffset.io_port >> 1]!;
  }

  /** Exit IO: the number of accesses (more than one for INS/OUTS). */
  get ioCount(): number {
    return this.u32[KvmRunOffset.io_count >> 2]!;
  }

  /** The guest has gone elsewhere: nothing is left of its port access. */
  dropIo(): void {
    if (this.exitReason === Exit.IO) this.u32[KvmRunOffset.io_count >> 2] = 0;
  }

  /** Exit IO: where the data is, as an index into {@linkcode KvmRun.u8}. */
  get ioDataOffset(): number {
    return this.u32[KvmRunOffset.io_data_offset >> 2]!;
  }

  /** Exit MMIO: the guest physical address. */
  get mmioAddress(): number {
    return this.mmioPage * 0x1000 + this.mmioOffset;
  }

  /** Its page of 4 KiB: a small integer, where the address is not. */
  get mmioPage(): number {
    const index = KvmRunOffset.mmio_phys_addr >> 2;
    return (this.u32[index]! >>> 12) + this.u32[index + 1]! * 0x10_0000;
  }

  /** Its offset within the page. */
  get mmioOffset(): number {
    return this.u32[KvmRunOffset.mmio_phys_addr >> 2]! & 0xfff;
  }

  /** Exit MMIO: bytes of the access, 1 to 8. */
  get mmioSize(): number {
    return this.u32[KvmRunOffset.mmio_len >> 2]!;
  }

  /** Exit MMIO: where its 8 bytes are, as an index into {@linkcode KvmRun.u8}. */
  get mmioDataOffset(): number {
    return KvmRunOffset.mmio_data;
  }

  /** Exit MMIO: true when the guest writes. */
  get mmioIsWrite(): boolean {
    return this.u8[KvmRunOffset.mmio_is_write] !== 0;
  }

  /** Exit X86_WRMSR: the value. */
  get msrData(): bigint {
    const index = KvmRunOffset.msr_data >> 2;
    return BigInt(this.u32[index]!) | BigInt(this.u32[index + 1]!) << 32n;
  }

  /** Exit X86_WRMSR: whether the guest gets a #GP for it. */
  set msrError(on: boolean) {
    this.u8[KvmRunOffset.msr_error] = on ? 1 : 0;
  }

  /** Exit INTERNAL_ERROR: which one. */
  get internalSuberror(): number {
    return this.u32[KvmRunOffset.internal_suberror >> 2]!;
  }

  /**
   * Exit INTERNAL_ERROR/EMULATION: the bytes at RIP, at most 15, as far as
   * KVM gives them; more bytes than the instruction has may follow it.
   */
  get instructionBytes(): Uint8Array {
    const flags = this.u32[KvmRunOffset.emulation_flags >> 2]!;
    const words = this.u32[KvmRunOffset.internal_ndata >> 2]!;
    if (words < 1 || !(flags & EMULATION_FLAG_INSTRUCTION_BYTES)) {
      return new Uint8Array();
    }
    const size = Math.min(15, this.u8[KvmRunOffset.emulation_insn_size]!);
    const start = KvmRunOffset.emulation_insn_bytes;
    return this.u8.slice(start, start + size);
  }

  /** Unmaps the structure. */
  unmap(): void {
    this.#mapping.unmap();
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}
