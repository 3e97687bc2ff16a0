/**
 * Guest RAM. This is the only place where a guest address becomes bytes or a
 * host pointer; everything that comes from the guest is checked here.
 *
 * @module
 */
import { VireoError } from "../ffi/errno.ts";
import {
  advise,
  ADVISE_MAX,
  Madvise,
  Map,
  Mapping,
  viewOf,
} from "../ffi/mmap.ts";
import { Layout, MiB } from "./layout.ts";

/** A guest address range that isn't RAM. The guest's fault, never ours. */
export class GuestAddressError extends Error {
  /** The class's name. */
  override name = "GuestAddressError";

  /** Names the range. */
  constructor(address: number, length: number) {
    super(
      `guest range 0x${address.toString(16)} + 0x${length.toString(16)} ` +
        "is not in RAM",
    );
  }
}

/** A region as plain data, to hand to another thread. */
export interface RegionHandle {
  /** Guest physical address of the first byte. */
  guestAddress: number;
  /** Size in bytes. */
  size: number;
  /** Address of the first byte in this process. */
  hostAddress: number;
  /** A shared mapping of a file: what is discarded is a hole in the file. */
  shared?: boolean;
}

/** Contiguous RAM with views for hot paths. */
export class MemoryRegion implements RegionHandle {
  /** Guest physical address of the first byte. */
  readonly guestAddress: number;
  /** Size in bytes. */
  readonly size: number;
  /** Guest physical address after the last byte. */
  readonly end: number;
  /** Address of the first byte in this process. */
  readonly hostAddress: number;
  /** See {@linkcode RegionHandle.shared}. */
  readonly shared: boolean;
  /** The region's bytes. */
  readonly u8: Uint8Array<ArrayBuffer>;
  /** The region as little-endian 16-bit words. */
  readonly u16: Uint16Array<ArrayBuffer>;
  /** The region as little-endian 32-bit words. */
  readonly u32: Uint32Array<ArrayBuffer>;

  /** Makes this thread's views of a mapped region. */
  constructor(handle: RegionHandle, buffer?: ArrayBuffer) {
    this.guestAddress = handle.guestAddress;
    this.size = handle.size;
    this.end = handle.guestAddress + handle.size;
    this.hostAddress = handle.hostAddress;
    this.shared = handle.shared ?? false;
    const bytes = buffer ?? viewOf(handle.hostAddress, handle.size);
    this.u8 = new Uint8Array(bytes);
    this.u16 = new Uint16Array(bytes);
    this.u32 = new Uint32Array(bytes);
  }
}

/** Bytes of the host's small pages, which {@linkcode GuestMemory.discard} takes. */
export const PAGE_SIZE = 4096;

/** How to allocate RAM. */
export interface AllocateOptions {
  /** Advise transparent huge pages; default true. */
  hugePages?: boolean;
}

/** The guest's RAM: one region below the MMIO hole, one above 4 GiB. */
export class GuestMemory {
  /** The regions, lowest address first. */
  readonly regions: readonly MemoryRegion[];
  /** All RAM in bytes. */
  readonly size: number;
  readonly #mappings: readonly Mapping[];
  readonly #low: MemoryRegion;

  private constructor(regions: MemoryRegion[], mappings: Mapping[]) {
    const [low] = regions;
    if (low === undefined) throw new RangeError("a guest needs RAM");
    this.#low = low;
    this.regions = regions;
    this.size = regions.reduce((sum, region) => sum + region.size, 0);
    this.#mappings = mappings;
  }

  /**
   * Allocates `size` bytes of RAM, a multiple of 4096. Nothing is touched
   * until the guest uses it.
   *
   * @throws {VireoError} when the host has no room
   */
  static allocate(size: number, options: AllocateOptions = {}): GuestMemory {
    const low = Math.min(size, Layout.MMIO_HOLE);
    const high = size - low;
    const mappings: Mapping[] = [];
    const regions: MemoryRegion[] = [];
    try {
      for (
        const [guestAddress, bytes] of [
          [0, low],
          [Layout.RAM_ABOVE_4G, high],
        ] as const
      ) {
        if (bytes === 0) continue;
        const mapping = new Mapping(bytes, {
          flags: Map.PRIVATE | Map.ANONYMOUS | Map.NORESERVE,
          name: "guest memory",
        });
        mappings.push(mapping);
        if (options.hugePages !== false) mapping.advise(Madvise.HUGEPAGE);
        regions.push(
          new MemoryRegion(
            { guestAddress, size: bytes, hostAddress: mapping.address },
            mapping.buffer,
          ),
        );
      }
    } catch (error) {
      mappings.forEach((mapping) => mapping.unmap());
      if (!(error instanceof VireoError)) throw error;
      throw new VireoError(
        `memory: this host has no room for ${size / MiB} MiB ` +
          `(${error.message}); ask for less`,
      );
    }
    return new GuestMemory(regions, mappings);
  }

  /** Views, in this thread, of RAM that another thread allocated. */
  static attach(handles: readonly RegionHandle[]): GuestMemory {
    return new GuestMemory(handles.map((h) => new MemoryRegion(h)), []);
  }

  /** The regions as plain data, for {@linkcode GuestMemory.attach}. */
  handles(): RegionHandle[] {
    return this.regions.map(({ guestAddress, size, hostAddress, shared }) => ({
      guestAddress,
      size,
      hostAddress,
      shared,
    }));
  }

  /**
   * The region that holds all of the range, or undefined. Hot path: it
   * allocates nothing. A range of no bytes is in no region.
   */
  find(address: number, length: number): MemoryRegion | undefined {
    const low = this.#low;
    if (length < 1 || !(address >= 0)) return undefined;
    if (address + length <= low.end) return low;
    for (let i = 1; i < this.regions.length; i++) {
      const region = this.regions[i]!;
      if (address >= region.guestAddress && address + length <= region.end) {
        return region;
      }
    }
    return undefined;
  }

  /** The host address of the range, or 0 when it isn't all in one region. */
  hostAddress(address: number, length: number): number {
    const region = this.find(address, length);
    if (region === undefined) return 0;
    return region.hostAddress + (address - region.guestAddress);
  }

  /**
   * A view of guest bytes, not a copy.
   *
   * @throws {GuestAddressError} when the range isn't in RAM
   */
  bytes(address: number, length: number): Uint8Array<ArrayBuffer> {
    if (length === 0) return new Uint8Array();
    const region = this.find(address, length);
    if (region === undefined) throw new GuestAddressError(address, length);
    const start = address - region.guestAddress;
    return region.u8.subarray(start, start + length);
  }

  /**
   * A DataView of guest bytes, not a copy.
   *
   * @throws {GuestAddressError} when the range isn't in RAM
   */
  view(address: number, length: number): DataView<ArrayBuffer> {
    const { buffer, byteOffset } = this.bytes(address, length);
    return new DataView(buffer, byteOffset, length);
  }

  /**
   * Copies bytes into the guest.
   *
   * @throws {GuestAddressError} when they don't fit into RAM
   */
  write(address: number, data: Uint8Array): void {
    this.bytes(address, data.length).set(data);
  }

  /**
   * Gives the host back what is behind a range of whole pages, with all
   * that is in it: the guest reads zeros there, and has new memory as soon as
   * it touches the range. False when the range isn't in RAM, or the host
   * refuses, as it does for a part of a huge page of hugetlbfs.
   */
  discard(address: number, length: number): boolean {
    const region = this.find(address, length);
    if (region === undefined) return false;
    if (address % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0) return false;
    const advice = region.shared ? Madvise.REMOVE : Madvise.DONTNEED;
    let host = region.hostAddress + (address - region.guestAddress);
    for (let left = length; left > 0;) {
      const piece = Math.min(left, ADVISE_MAX);
      if (!advise(host, piece, advice)) return false;
      host += piece;
      left -= piece;
    }
    return true;
  }

  /** Gives the RAM back, in the thread that allocated it. */
  free(): void {
    this.#mappings.forEach((mapping) => mapping.unmap());
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.free();
  }
}
