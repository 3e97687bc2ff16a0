/**
 * Frames as bytes, for backends that can't be given iovecs.
 *
 * @module
 */
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame } from "./backend.ts";

/** Bytes that a frame has, or has room for. */
export function frameBytes(frame: Frame): number {
  let bytes = 0;
  for (let i = 0; i < frame.count; i++) bytes += frame.lengthAt(i);
  return bytes;
}

/** Copies bytes `from` and following of a frame, as many as `target` has. */
export function copyOut(
  memory: GuestMemory,
  frame: Frame,
  from: number,
  target: Uint8Array,
): void {
  let done = 0;
  for (let i = 0; i < frame.count && done < target.length; i++) {
    const length = frame.lengthAt(i);
    if (from < length) {
      const take = Math.min(length - from, target.length - done);
      target.set(piece(memory, frame, i, from, take), done);
      done += take;
    }
    from = Math.max(0, from - length);
  }
}

/** Copies `source` to byte `from` and following of a frame, as far as it goes. */
export function copyIn(
  memory: GuestMemory,
  frame: Frame,
  from: number,
  source: Uint8Array,
): void {
  let done = 0;
  for (let i = 0; i < frame.count && done < source.length; i++) {
    const length = frame.lengthAt(i);
    if (from < length) {
      const take = Math.min(length - from, source.length - done);
      const part = source.subarray(done, done + take);
      piece(memory, frame, i, from, take).set(part);
      done += take;
    }
    from = Math.max(0, from - length);
  }
}

function piece(
  memory: GuestMemory,
  frame: Frame,
  index: number,
  from: number,
  length: number,
): Uint8Array {
  const address = frame.guestAddressAt(index);
  return address < 0
    ? frame.spill!.subarray(from, from + length)
    : memory.bytes(address + from, length);
}
