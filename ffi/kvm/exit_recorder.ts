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
export class ExitRecorder {
  readonly #recorder: Recorder;
  readonly #vcpu: number;

  /** Writes to `page`, of one subject. */
  constructor(page: SharedArrayBuffer, vcpu: number) {
    this.#recorder = new Recorder(page);
    this.#vcpu = vcpu;
  }

  /** An exit is there: when that was, if it is to be recorded, or 0. */
  began(run: KvmRun): number {
    const recorder = this.#recorder;
    recorder.counts[run.exitReason & (EXIT_COUNTERS - 1)]!++;
    return (recorder.wanted & WANTED) === 0 ? 0 : recorder.now();
  }

  /** It is answered; `run` still has its address and its value. */
  ended(run: KvmRun, start: number): void {
    const reason = run.exitReason;
    let bits = reason;
    let address = 0;
    let value = 0;
    let count = 1;
    if (reason === Exit.MMIO) {
      bits |= run.mmioIsWrite ? ExitBits.WRITE : 0;
      bits |= run.mmioSize << ExitBits.SIZE_SHIFT;
      address = run.mmioAddress;
      value = valueAt(run, KvmRunOffset.mmio_data, run.mmioSize);
    } else if (reason === Exit.IO) {
      bits |= run.ioIsOut ? ExitBits.WRITE : 0;
      bits |= run.ioSize << ExitBits.SIZE_SHIFT;
      address = run.ioPort;
      count = run.ioCount;
      value = valueAt(run, run.ioDataOffset, run.ioSize);
    }
    const duration = this.#recorder.now() - start;
    // deno-fmt-ignore
    this.#recorder.record(
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
