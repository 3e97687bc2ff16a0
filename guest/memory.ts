/**
 * Guest RAM. This is the only place where a guest address becomes bytes or a
 * host pointer; everything that comes from the guest is checked here.
 *
 * @module
 */
import { viewedLater } from "../ffi/memory/lazy_views.ts";
import { mapEmpty, viewOf } from "../ffi/memory/mmap.ts";
import { onBusError } from "../ffi/memory/bus_error.ts";
import {
  type AllocateOptions,
  type Backing,
  backingOf,
  giveBack,
  mapRam,
  MemoryFile,
  ZeroCover,
} from "./backing.ts";
import { Layout } from "./layout.ts";

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
  /** What it is made of; default the process's own memory. */
  backing?: Backing;
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
  /** What it is made of. */
  backing: Backing;
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
    this.backing = handle.backing ?? "anonymous";
    const bytes = buffer ?? viewOf(handle.hostAddress, handle.size);
    this.u8 = new Uint8Array(bytes);
    this.u16 = new Uint16Array(bytes);
    this.u32 = new Uint32Array(bytes);
  }
}

/** Bytes of the host's small pages, which {@linkcode GuestMemory.discard} takes. */
export const PAGE_SIZE = 4096;

/** The guest's RAM: one region below the MMIO hole, one above 4 GiB. */
export class GuestMemory {
  /** The regions, lowest address first. */
  readonly regions: readonly MemoryRegion[];
  /** All RAM in bytes. */
  readonly size: number;
  readonly #resources: DisposableStack;
  readonly #low: MemoryRegion;
  readonly #cover = new ZeroCover();
  readonly #file: MemoryFile | undefined;
  #faultOf: (() => string | undefined) | undefined;

  private constructor(
    regions: MemoryRegion[],
    resources: DisposableStack,
    file: MemoryFile | undefined,
  ) {
    const [low] = regions;
    if (low === undefined) throw new RangeError("a guest needs RAM");
    this.#low = low;
    this.regions = regions;
    this.size = regions.reduce((sum, region) => sum + region.size, 0);
    this.#resources = resources;
    this.#file = file;
    this.#faultOf = file && (() => file.fault());
  }

  /**
   * Allocates `size` bytes of RAM, a multiple of 4096. Nothing is touched
   * until the guest uses it.
   *
   * @throws {VireoError} when the host has no room, or not of that kind
   */
  static allocate(size: number, options: AllocateOptions = {}): GuestMemory {
    const low = Math.min(size, Layout.MMIO_HOLE);
    const parts = [
      { guestAddress: 0, size: low, offset: 0 },
      { guestAddress: Layout.RAM_ABOVE_4G, size: size - low, offset: low },
    ];
    using resources = new DisposableStack();
    const file = options.file === undefined
      ? undefined
      : resources.use(new MemoryFile(options.file, size));
    const regions = parts.filter((part) => part.size > 0).map((part) => {
      const mapping = resources.use(mapRam(part, size, options, file));
      const { guestAddress, size: bytes } = part;
      const { address: hostAddress } = mapping;
      const backing = backingOf(options);
      const handle = { guestAddress, size: bytes, hostAddress, backing };
      const region = new MemoryRegion(handle, new ArrayBuffer());
      return viewedLater(region, mapping);
    });
    return new GuestMemory(regions, resources.move(), file);
  }

  /** Views, in this thread, of RAM that another thread allocated. */
  static attach(handles: readonly RegionHandle[]): GuestMemory {
    const regions = handles.map((handle) => new MemoryRegion(handle));
    return new GuestMemory(regions, new DisposableStack(), undefined);
  }

  /** The regions as plain data, for {@linkcode GuestMemory.attach}. */
  handles(): RegionHandle[] {
    return this.regions.map((region) => ({
      guestAddress: region.guestAddress,
      size: region.size,
      hostAddress: region.hostAddress,
      backing: region.backing,
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
   * it touches the range. False when the range isn't in RAM, or is not to be
   * given back.
   */
  discard(address: number, length: number): boolean {
    const region = this.find(address, length);
    if (region === undefined) return false;
    if (address % PAGE_SIZE !== 0 || length % PAGE_SIZE !== 0) return false;
    const host = region.hostAddress + (address - region.guestAddress);
    return giveBack(region.backing, host, length, this.#cover);
  }

  /** A snapshot's file was mapped over all of it. */
  liesOverImage(): void {
    for (const region of this.regions) region.backing = "image";
    this.#cover.clear();
  }

  /** Its pages come from a file, of which `fault` says what is wrong. */
  comesFrom(fault: () => string | undefined): void {
    this.#faultOf = fault;
  }

  /** Why RAM can't be in its file any more; undefined when it can. */
  fault(): string | undefined {
    return this.#faultOf?.();
  }

  /**
   * Calls `lost` with the reason, once, when a thread needs a page that RAM's
   * file can't give any more. All of RAM is empty then, so that the machine's
   * threads can end.
   */
  onLost(lost: (reason: string) => void): Disposable {
    if (this.#faultOf === undefined) return new DisposableStack();
    let reason: string | undefined;
    return onBusError(() => {
      if (reason !== undefined) return true; // it came more than once
      reason = this.fault();
      if (reason === undefined) return false;
      for (const { hostAddress, size } of this.regions) {
        mapEmpty(hostAddress, size);
      }
      lost(reason);
      return true;
    });
  }

  /** From now on, {@linkcode GuestMemory.free} leaves a new file there. */
  keepFile(): void {
    this.#file?.keep();
  }

  /** Gives the RAM back, in the thread that allocated it. */
  free(): void {
    this.#resources.dispose();
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.free();
  }
}
