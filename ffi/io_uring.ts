/**
 * io_uring (io_uring(7)): vectored reads, writes and fdatasync on one file,
 * submitted in batches and completed in any order.
 *
 * @module
 */
import { check, Errno, errno, SystemError } from "./errno.ts";
import { closeFd } from "./file.ts";
import { MapFlag, Mapping } from "./memory/mmap.ts";
import { libc, lookUpNow } from "./libc.ts";

// Who loads this is going to make one.
lookUpNow("io_uring_enter");

const SYS_io_uring_setup = 425;
const SYS_io_uring_enter = 426;
const SYS_io_uring_register = 427;

// struct io_uring_params, 120 bytes.
const PARAMS_SIZE = 120;
const Params = {
  sq_entries: 0,
  cq_entries: 4,
  flags: 8,
  features: 20,
  sq_off: 40,
  cq_off: 80,
} as const;
// struct io_sqring_offsets and io_cqring_offsets share the first fields.
const RingOffset = { head: 0, tail: 4, ring_mask: 8 } as const;
const SQ_OFF_FLAGS = 16;
const SQ_OFF_ARRAY = 24;
const CQ_OFF_CQES = 20;
const CQ_OFF_FLAGS = 24;
const IORING_CQ_EVENTFD_DISABLED = 1;

const IORING_OFF_SQ_RING = 0;
const IORING_OFF_SQES = 0x1000_0000;
const IORING_FEAT_SINGLE_MMAP = 1;
// Completions wait for the thread's next system call instead of interrupting
// it, and a flag in the ring says that they do (Linux 5.19).
const IORING_SETUP_COOP_TASKRUN = 1 << 8;
const IORING_SETUP_TASKRUN_FLAG = 1 << 9;
const IORING_SQ_TASKRUN = 1 << 2;
const IORING_ENTER_GETEVENTS = 1;
const IORING_REGISTER_FILES = 2;
const IORING_REGISTER_EVENTFD = 4;

const IORING_OP_READV = 1;
const IORING_OP_WRITEV = 2;
const IORING_OP_FSYNC = 3;
const IORING_OP_FALLOCATE = 17;
const IORING_FSYNC_DATASYNC = 1;
const IOSQE_FIXED_FILE = 1;

/** `RWF_DSYNC`: a write is complete when it is on stable storage. */
export const RWF_DSYNC = 2;

/** `RWF_NOWAIT`: an operation that would have to wait gives EAGAIN. */
export const RWF_NOWAIT = 8;

// struct io_uring_sqe as 32-bit words.
const SQE_WORDS = 16;
const Sqe = {
  opcode_flags: 0,
  fd: 1,
  off: 2,
  addr: 4,
  len: 6,
  op_flags: 7,
  user_data: 8,
} as const;
// struct io_uring_cqe as 32-bit words.
const CQE_WORDS = 4;
const CQE_RES = 2;

const TWO_32 = 0x1_0000_0000;

/**
 * A submission and a completion ring for one file.
 *
 * The hot path (`readv`, `writev`, `submit`, `next`) allocates nothing.
 */
export class IoUring implements Disposable {
  /** Entries of the submission ring. */
  readonly entries: number;
  /** `IORING_FEAT_*` bits of this kernel. */
  readonly features: number;
  /** Completions don't interrupt the thread (`IORING_SETUP_COOP_TASKRUN`). */
  readonly cooperative: boolean;
  /** The result of the last {@linkcode IoUring.next}: bytes or -errno. */
  result = 0;
  readonly #fd: number;
  readonly #rings: Mapping;
  readonly #sqesMapping: Mapping;
  readonly #words: Int32Array;
  readonly #sqes: Uint32Array;
  readonly #sqTail: number;
  readonly #sqMask: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  readonly #sqFlags: number;
  readonly #cqFlags: number;
  readonly #file: number; // what SQEs name: an index or a descriptor
  readonly #fileFlags: number;
  #tail = 0;
  #unsubmitted = 0;

  /**
   * Sets the rings up for `file`, which stays the caller's.
   *
   * @param file the descriptor that every operation is for
   * @param entries a power of two
   * @param registered saves a look-up per operation; but the kernel then holds
   *   the file for a moment longer than the process lives
   * @throws {SystemError} ENOSYS or EPERM where the host forbids io_uring
   */
  constructor(file: number, entries: number, registered = true) {
    const params = new DataView(new ArrayBuffer(PARAMS_SIZE));
    this.#fd = setUp(entries, params);
    using undo = new DisposableStack(); // unless all goes well
    undo.defer(() => closeFd(this.#fd));
    const get = (offset: number) => params.getUint32(offset, true);
    this.entries = get(Params.sq_entries);
    this.features = get(Params.features);
    this.cooperative = (get(Params.flags) & IORING_SETUP_COOP_TASKRUN) !== 0;
    if (
      !(get(Params.features) & IORING_FEAT_SINGLE_MMAP) ||
      get(Params.cq_off + CQ_OFF_FLAGS) === 0
    ) {
      throw new SystemError("io_uring older than Linux 5.8", Errno.ENOSYS);
    }
    const { sq_off, cq_off } = Params;
    const array = get(sq_off + SQ_OFF_ARRAY);
    const cqes = get(cq_off + CQ_OFF_CQES);
    const ringSize = Math.max(
      array + this.entries * 4,
      cqes + get(Params.cq_entries) * CQE_WORDS * 4,
    );
    const map = (size: number, offset: number) =>
      undo.use(
        new Mapping(size, {
          fd: this.#fd,
          offset,
          flags: MapFlag.SHARED | MapFlag.POPULATE,
          name: "io_uring",
        }),
      );
    this.#rings = map(ringSize, IORING_OFF_SQ_RING);
    this.#sqesMapping = map(this.entries * SQE_WORDS * 4, IORING_OFF_SQES);
    this.#words = new Int32Array(this.#rings.buffer);
    this.#sqes = new Uint32Array(this.#sqesMapping.buffer);
    this.#sqTail = get(sq_off + RingOffset.tail) >> 2;
    this.#sqMask = this.#words[get(sq_off + RingOffset.ring_mask) >> 2]!;
    this.#cqHead = get(cq_off + RingOffset.head) >> 2;
    this.#cqTail = get(cq_off + RingOffset.tail) >> 2;
    this.#cqMask = this.#words[get(cq_off + RingOffset.ring_mask) >> 2]!;
    this.#cqes = cqes >> 2;
    this.#sqFlags = get(sq_off + SQ_OFF_FLAGS) >> 2;
    this.#cqFlags = get(cq_off + CQ_OFF_FLAGS) >> 2;
    // Submission slot n always holds SQE n.
    for (let i = 0; i < this.entries; i++) this.#words[(array >> 2) + i] = i;
    this.#tail = this.#words[this.#sqTail]!;
    if (registered) this.#register(IORING_REGISTER_FILES, file, "file");
    this.#file = registered ? 0 : file;
    this.#fileFlags = registered ? IOSQE_FIXED_FILE << 8 : 0;
    undo.move();
  }

  /** Signals `eventfd` at each completion. */
  registerEventFd(eventfd: number): void {
    this.#register(IORING_REGISTER_EVENTFD, eventfd, "eventfd");
  }

  /**
   * Whether completions signal the eventfd. Off while the thread looks at
   * the completion ring anyway: a signal costs a wake-up. After switching it
   * on, look once more.
   */
  set signalCompletions(on: boolean) {
    const flags = on ? 0 : IORING_CQ_EVENTFD_DISABLED;
    Atomics.store(this.#words, this.#cqFlags, flags);
  }

  /** Operations that the kernel has not taken yet. */
  get unsubmitted(): number {
    return this.#unsubmitted;
  }

  /** Room in the submission ring. */
  get room(): number {
    return this.entries - this.#unsubmitted;
  }

  /**
   * Queues `preadv`. The iovecs must stay until the operation completes.
   *
   * @param tag comes back from {@linkcode IoUring.next}; 32 bits
   * @param iovecs host address of `count` iovecs
   * @param offset in the file, in bytes
   * @param flags such as {@linkcode RWF_NOWAIT}
   */
  readv(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    flags = 0,
  ): void {
    this.#queue(IORING_OP_READV, tag, iovecs, count, offset, flags);
  }

  /** Queues `pwritev`; parameters as in {@linkcode IoUring.readv}. */
  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    flags = 0,
  ): void {
    this.#queue(IORING_OP_WRITEV, tag, iovecs, count, offset, flags);
  }

  /**
   * Queues `fallocate` (Linux 5.6).
   *
   * @param mode bits of {@linkcode Falloc}
   */
  fallocate(tag: number, mode: number, offset: number, length: number): void {
    // The length is where other operations have an address, the mode where
    // they have a length.
    this.#queue(IORING_OP_FALLOCATE, tag, length, mode, offset, 0);
  }

  /**
   * Queues `writev` on a file without positions, as {@linkcode IoUring.writev}
   * does, with the address as two words of 32 bits. Passed to a function that
   * is not inlined, a number as large as an address would be allocated.
   */
  writevWords(
    tag: number,
    low: number,
    high: number,
    count: number,
    flags: number,
  ): void {
    const sqes = this.#sqes;
    const base = this.#prepare(IORING_OP_WRITEV, tag, count, flags);
    sqes[base + Sqe.off] = 0;
    sqes[base + Sqe.off + 1] = 0;
    sqes[base + Sqe.addr] = low;
    sqes[base + Sqe.addr + 1] = high;
  }

  /** Queues `fdatasync`: covers the writes that completed before it. */
  fdatasync(tag: number): void {
    this.#queue(IORING_OP_FSYNC, tag, 0, 0, 0, IORING_FSYNC_DATASYNC);
  }

  /**
   * Hands the queued operations to the kernel with one system call. Reads
   * that the page cache answers are complete when it returns.
   */
  submit(): void {
    if (this.#unsubmitted === 0) return;
    Atomics.store(this.#words, this.#sqTail, this.#tail);
    while (this.#unsubmitted > 0) {
      const count = this.#enter(this.#unsubmitted, 0);
      if (count >= 0) {
        this.#unsubmitted -= count;
        continue;
      }
      const code = errno();
      // EAGAIN, EBUSY: the kernel is short of memory or the completion ring
      // is full. The entries stay queued; the next submit tries again.
      if (code === Errno.EAGAIN || code === Errno.EBUSY) return;
      if (code !== Errno.EINTR) check(count, "io_uring_enter");
    }
  }

  /** Takes back the operations that the kernel has not taken. */
  discard(): void {
    this.#tail = (this.#tail - this.#unsubmitted) | 0;
    this.#unsubmitted = 0;
    Atomics.store(this.#words, this.#sqTail, this.#tail);
  }

  /** Blocks until at least one completion is there. */
  wait(): void {
    const count = this.#enter(this.#unsubmitted, 1);
    if (count > 0) this.#unsubmitted -= count;
  }

  /** True when {@linkcode IoUring.next} would return a tag. */
  get hasCompletions(): boolean {
    const words = this.#words;
    return words[this.#cqHead] !== Atomics.load(words, this.#cqTail) ||
      this.#taskWorkWaits;
  }

  /** The tag of the next completion, or -1; sets {@linkcode result}. */
  next(): number {
    const words = this.#words;
    const head = words[this.#cqHead]!;
    if (head === Atomics.load(words, this.#cqTail)) {
      if (!this.#taskWorkWaits) return -1;
      this.#enter(0, 0); // runs it
      if (head === Atomics.load(words, this.#cqTail)) return -1;
    }
    const cqe = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
    const tag = words[cqe]!;
    this.result = words[cqe + CQE_RES]!;
    Atomics.store(words, this.#cqHead, (head + 1) | 0);
    return tag >>> 0;
  }

  /** Unmaps the rings. Nothing may be in flight. */
  close(): void {
    this.#rings.unmap();
    this.#sqesMapping.unmap();
    closeFd(this.#fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Completions are there, and come at the next system call. */
  get #taskWorkWaits(): boolean {
    const flags = Atomics.load(this.#words, this.#sqFlags);
    return (flags & IORING_SQ_TASKRUN) !== 0;
  }

  #queue(
    opcode: number,
    tag: number,
    address: number,
    count: number,
    offset: number,
    flags: number,
  ): void {
    const sqes = this.#sqes;
    const base = this.#prepare(opcode, tag, count, flags);
    sqes[base + Sqe.off] = offset;
    sqes[base + Sqe.off + 1] = offset / TWO_32;
    sqes[base + Sqe.addr] = address;
    sqes[base + Sqe.addr + 1] = address / TWO_32;
  }

  /** Fills the next SQE but for address and offset; where it begins. */
  #prepare(opcode: number, tag: number, count: number, flags: number): number {
    const sqes = this.#sqes;
    const base = (this.#tail & this.#sqMask) * SQE_WORDS;
    sqes[base + Sqe.opcode_flags] = opcode | this.#fileFlags;
    sqes[base + Sqe.fd] = this.#file;
    sqes[base + Sqe.len] = count;
    sqes[base + Sqe.op_flags] = flags;
    sqes[base + Sqe.user_data] = tag;
    sqes[base + Sqe.user_data + 1] = 0;
    this.#tail = (this.#tail + 1) | 0;
    this.#unsubmitted++;
    return base;
  }

  #enter(submit: number, complete: number): number {
    return libc.io_uring_enter(
      SYS_io_uring_enter,
      this.#fd,
      submit,
      complete,
      submit > 0 && complete === 0 ? 0 : IORING_ENTER_GETEVENTS,
      null,
      0n,
    );
  }

  #register(opcode: number, fd: number, what: string): void {
    const argument = new Int32Array([fd]);
    const number = SYS_io_uring_register;
    check(
      libc.io_uring_register(number, this.#fd, opcode, argument, 1),
      () => `io_uring: register ${what}`,
    );
  }
}

/** `io_uring_setup`, with what the kernel knows of the flags. */
function setUp(entries: number, params: DataView<ArrayBuffer>): number {
  const flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  params.setUint32(Params.flags, flags, true);
  const fd = libc.io_uring_setup(SYS_io_uring_setup, entries, params);
  if (fd >= 0 || errno() !== Errno.EINVAL) return check(fd, "io_uring_setup");
  params.setUint32(Params.flags, 0, true);
  return check(
    libc.io_uring_setup(SYS_io_uring_setup, entries, params),
    "io_uring_setup",
  );
}
