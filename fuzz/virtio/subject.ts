/**
 * What the fuzzer runs against: a device, requests that it would understand,
 * what its host side may do meanwhile, and the proof that it still works.
 *
 * @module
 */
import type { GuestMemory } from "../../guest/memory.ts";
import type { Random } from "../../guest/testing/random.ts";
import type { VirtioDevice } from "../../devices/virtio/device.ts";
import type { MockDriver } from "../../devices/virtio/testing/mod.ts";

/** A buffer of a request: bytes for the device, or room for it. */
export type Part = Uint8Array | number;

/** A device under attack. */
export interface Subject extends Disposable {
  /** The device. */
  readonly device: VirtioDevice;
  /** The parts of a plausible request for queue `index`. */
  request(random: Random, index: number): Part[];
  /** Something happens on the host's side. */
  host(random: Random): void;
  /**
   * The device was reset and started, with all features: it must work.
   *
   * @throws {Error} when it doesn't
   */
  prove(driver: MockDriver): void;
}

/** Makes a subject in `memory`; all choices are from `random`. */
export type MakeSubject = (memory: GuestMemory, random: Random) => Subject;

/** Completes one request on queue `index`; the parts' buffers afterwards. */
export function complete(
  driver: MockDriver,
  index: number,
  parts: readonly Part[],
): Uint8Array[] {
  const buffers = parts.map((part) =>
    typeof part === "number" ? driver.room(part) : driver.buffer(part)
  );
  const ring = driver.rings[index]!;
  const head = ring.add(buffers);
  driver.ring(index);
  driver.until(() => {
    driver.turn();
    return ring.poll() === head;
  }, `the completion on queue ${index}`);
  return buffers.map((buffer) => driver.bytes(buffer));
}
