/**
 * Which station is behind which port of a switch (IEEE 802.1D, §7.8 and §7.9).
 *
 * @module
 */

/** Addresses behind one port; of more, those that were learnt first go. */
const PORT_ADDRESSES = 256;

/** Learns from the source addresses of frames. */
export class AddressTable<Port> {
  readonly #ports = new Map<number, Port>();
  readonly #addresses = new Map<Port, Set<number>>();

  /** A frame from `address` has come in at `port`. */
  learn(address: number, port: Port): void {
    const before = this.#ports.get(address);
    if (before === port) return;
    if (before !== undefined) this.#addresses.get(before)?.delete(address);
    let own = this.#addresses.get(port);
    if (own === undefined) this.#addresses.set(port, own = new Set());
    if (own.size >= PORT_ADDRESSES) {
      const [first] = own as unknown as [number];
      own.delete(first);
      this.#ports.delete(first);
    }
    own.add(address);
    this.#ports.set(address, port);
  }

  /** The port that `address` is behind, if it is known. */
  portOf(address: number): Port | undefined {
    return this.#ports.get(address);
  }

  /** All that was behind `port` is unknown. */
  forget(port: Port): void {
    for (const address of this.#addresses.get(port) ?? []) {
      this.#ports.delete(address);
    }
    this.#addresses.delete(port);
  }

  /** Addresses that are known. */
  get size(): number {
    return this.#ports.size;
  }
}

/** The address in a frame's bytes `at` and following, as a number. */
export function addressAt(frame: Uint8Array, at: number): number {
  const high = (frame[at]! << 16) | (frame[at + 1]! << 8) | frame[at + 2]!;
  const low = (frame[at + 3]! << 16) | (frame[at + 4]! << 8) | frame[at + 5]!;
  return high * 2 ** 24 + low;
}

/** For a group of stations, or all: broadcast and multicast. */
export function isGroup(frame: Uint8Array): boolean {
  return (frame[0]! & 1) !== 0;
}
