/**
 * Counts a vCPU's exits by reason and, while somebody wants that, records each.
 *
 * @module
 */
import { Recorder } from "../recorder.ts";
import { Exit, type KvmRun, KvmRunOffset } from "./run.ts";

/** A vCPU's counters: one for each `KVM_EXIT_*` reason. */
export const EXIT_COUNTERS = 64;
/** An exit's event: its kind's number. */
export const EXIT_EVENT = 0;
const WANTED = 1 << EXIT_EVENT;

/** Bits of an exit event's first value, besides the reason below them. */
export const ExitBits = { WRITE: 1 << 8, SIZE_SHIFT: 16 } as const;

/** One vCPU's, in its thread. */
export class ExitRecorder extends Recorder {
  readonly #vcpu: number;
  readonly #start = new Float64Array(1); // a field would allocate

  /** Writes to `page`, of one subject. */
  constructor(page: SharedArrayBuffer, vcpu: number) {
    super(page);
    this.#vcpu = vcpu;
  }

  /** An exit is there; true: it is to be recorded when it is answered. */
  began(run: KvmRun): boolean {
    this.counts[run.exitReason & (EXIT_COUNTERS - 1)]!++;
    if ((this.wanted & WANTED) === 0) return false;
    this.#start[0] = this.now();
    return true;
  }

  /** It is answered; `run` still has its address and its value. */
  ended(run: KvmRun): void {
    const { exitReason: reason, u32 } = run;
    let bits = reason;
    let address = 0;
    let value = 0;
    let count = 1;
    if (reason === Exit.MMIO) {
      const size = run.mmioSize;
      bits |= run.mmioIsWrite ? ExitBits.WRITE : 0;
      bits |= size << ExitBits.SIZE_SHIFT;
      address = run.mmioAddress;
      value = valueAt(run, KvmRunOffset.mmio_data, size);
    } else if (reason === Exit.IO) {
      const word = u32[KvmRunOffset.io_direction >> 2]!; // direction, size, port
      const size = word >>> 8 & 0xff;
      bits |= (word & 0xff) !== 0 ? ExitBits.WRITE : 0;
      bits |= size << ExitBits.SIZE_SHIFT;
      address = word >>> 16;
      count = run.ioCount;
      value = valueAt(run, run.ioDataOffset, size);
    }
    const start = this.#start[0]!;
    const duration = this.now() - start;
    // deno-fmt-ignore
    this.record(
      start, duration, EXIT_EVENT, this.#vcpu, bits, address, value, count,
    );
  }
}

/** Little-endian; of eight bytes, those that a double holds. */
function valueAt(run: KvmRun, at: number, size: number): number {
  if (size === 4) return run.u32[at >> 2]!;
  const { u8 } = run;
  if (size === 1) return u8[at]!;
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + u8[at + i]!;
  return value;
}
