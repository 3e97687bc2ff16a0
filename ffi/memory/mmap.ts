/**
 * Memory outside the JavaScript heap. Everything that the kernel keeps a
 * pointer to lives here: a pointer to a JavaScript buffer dangles after GC.
 *
 * @module
 */
import { errno, SystemError } from "../errno.ts";
import { libc } from "../libc.ts";
import { lazily } from "./lazy_views.ts";

/** `PROT_*` bits. */
export const Prot = { NONE: 0, READ: 1, WRITE: 2 } as const;

/** `MAP_*` bits. */
export const MapFlag = {
  SHARED: 0x01,
  PRIVATE: 0x02,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  NORESERVE: 0x4000,
  POPULATE: 0x8000,
  HUGETLB: 0x40000,
  /** With HUGETLB: pages of 2 MiB. */
  HUGE_2MB: 21 << 26,
} as const;

/** `MADV_*` values. */
export const Madvise = {
  DONTNEED: 4,
  REMOVE: 9,
  HUGEPAGE: 14,
  POPULATE_READ: 22,
} as const;

const PAGE = 4096;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** What to map; the defaults give private anonymous memory. */
export interface MappingOptions {
  /** File to map; -1 for anonymous memory. */
  fd?: number;
  /** Offset in the file, in bytes, a multiple of the page size. */
  offset?: number;
  /** `PROT_*` bits, default read and write. */
  prot?: number;
  /** `MAP_*` bits, default private and anonymous. */
  flags?: number;
  /**
   * A power of two that the address is to be a multiple of; default the size
   * of a page.
   */
  alignment?: number;
  /**
   * Bytes before and behind the range that nobody can access, whole pages: a
   * wrong address next to it is a segmentation fault, not silent damage.
   */
  guard?: number;
  /** Names the mapping in errors. */
  name?: string;
}

/**
 * One `mmap`ped range with a view of its bytes.
 *
 * The view must not be used after {@linkcode Mapping.unmap}: that is a
 * segmentation fault, not an exception.
 */
export class Mapping {
  /** Host address as a number; user addresses are below 2^47. */
  readonly address: number;
  /** The same as an FFI pointer. */
  readonly pointer: NonNullable<Deno.PointerValue>;
  /** Size in bytes. */
  readonly size: number;
  /** The mapped bytes. */
  readonly buffer!: ArrayBuffer;
  readonly #guard: number;
  #mapped = true;

  /**
   * Maps `size` bytes.
   *
   * @throws {SystemError} when the kernel refuses
   */
  constructor(size: number, options: MappingOptions = {}) {
    const {
      fd = -1,
      offset = 0,
      prot = Prot.READ | Prot.WRITE,
      flags = fd < 0 ? MapFlag.PRIVATE | MapFlag.ANONYMOUS : MapFlag.SHARED,
      alignment = 0,
      guard = 0,
      name = "memory",
    } = options;
    using room = alignment > 0 || guard > 0
      ? reserve(size, alignment || PAGE, guard, name)
      : undefined;
    const pointer = mmap(
      room?.pointer ?? null,
      size,
      { prot, flags: flags | (room ? MapFlag.FIXED : 0), fd, offset, name },
    );
    room?.taken();
    const value = Deno.UnsafePointer.value(pointer);
    this.pointer = pointer;
    this.address = Number(value);
    this.size = size;
    this.#guard = guard;
    lazily(this, "buffer", () => viewOf(this.address, size));
  }

  /** `madvise` over the whole range; false when the kernel refuses. */
  advise(advice: number): boolean {
    return libc.madvise(this.pointer, BigInt(this.size), advice) === 0;
  }

  /** Gives the range back. A second call does nothing. */
  unmap(): void {
    if (!this.#mapped) return;
    this.#mapped = false;
    const start = Deno.UnsafePointer.offset(this.pointer, -this.#guard);
    libc.munmap(start, BigInt(this.size + 2 * this.#guard));
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.unmap();
  }
}

/**
 * Puts a mapping of a file in the place of memory that is mapped already.
 * Private: reads see the file, and writes stay here.
 *
 * @param address whole pages of a {@linkcode Mapping}, which unmaps them too
 * @throws {SystemError} the kernel refuses; the memory is as it was
 */
export function mapFileOver(
  address: number,
  size: number,
  fd: number,
  offset: number,
  kind: "private" | "shared" = "private",
): void {
  const sharing = kind === "shared" ? MapFlag.SHARED : MapFlag.PRIVATE;
  const flags = sharing | MapFlag.FIXED | MapFlag.NORESERVE;
  const prot = Prot.READ | Prot.WRITE;
  const at = Deno.UnsafePointer.create(BigInt(address));
  mmap(at, size, { prot, flags, fd, offset, name: "a file" });
}

/** The most bytes that one {@linkcode advise} takes. */
export const ADVISE_MAX = 0x4000_0000;

/**
 * Resolves when the page at `address` is there: whoever wants it before waits in
 * the kernel, and can't do anything else meanwhile. Before Linux 5.14: at once.
 */
export async function pagePresent(address: number): Promise<void> {
  const page = Math.floor(address / PAGE) * PAGE;
  await libc.madvise_wait(BigInt(page), PAGE, Madvise.POPULATE_READ);
}

/**
 * `madvise` of `length` bytes at `address`, which must be the caller's to
 * advise on; false when the kernel refuses.
 */
export function advise(
  address: number,
  length: number,
  advice: number,
): boolean {
  return libc.madvise_at(BigInt(address), length, advice) === 0;
}

/**
 * Puts empty memory in the place of what is mapped at `address`, for every
 * thread.
 */
export function mapEmpty(address: number, size: number): void {
  mmap(Deno.UnsafePointer.create(BigInt(address)), size, {
    prot: Prot.READ | Prot.WRITE,
    flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.NORESERVE |
      MapFlag.FIXED,
    fd: -1,
    offset: 0,
    name: "empty memory",
  });
}

type MmapArguments =
  & Required<Pick<MappingOptions, "prot" | "flags" | "fd" | "offset">>
  & { name: string };

function mmap(
  at: Deno.PointerValue,
  size: number,
  { prot, flags, fd, offset, name }: MmapArguments,
): NonNullable<Deno.PointerValue> {
  const pointer = libc.mmap(at, BigInt(size), prot, flags, fd, BigInt(offset));
  const value = BigInt(Deno.UnsafePointer.value(pointer));
  if (pointer === null || BigInt.asUintN(64, value) === MAP_FAILED) {
    throw new SystemError(`mmap ${size} bytes of ${name}`, errno());
  }
  return pointer;
}

/** Addresses that nothing else gets, until something is mapped over them. */
interface Reservation extends Disposable {
  pointer: NonNullable<Deno.PointerValue>;
  /** They are in use: disposing leaves them alone. */
  taken(): void;
}

/** Reserves more than needed, and gives back what is not wanted of it. */
function reserve(
  size: number,
  alignment: number,
  guard: number,
  name: string,
): Reservation {
  const all = size + alignment + 2 * guard;
  const start = mmap(null, all, {
    prot: Prot.NONE,
    flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.NORESERVE,
    fd: -1,
    offset: 0,
    name,
  });
  const first = Number(Deno.UnsafePointer.value(start)) + guard;
  const before = -first & (alignment - 1);
  const kept = Deno.UnsafePointer.offset(start, before)!;
  const keptSize = size + 2 * guard;
  if (before > 0) libc.munmap(start, BigInt(before));
  const end = Deno.UnsafePointer.offset(kept, keptSize);
  const behind = all - before - keptSize;
  if (behind > 0) libc.munmap(end, BigInt(behind));
  let owned = true;
  return {
    pointer: Deno.UnsafePointer.offset(kept, guard)!,
    taken: () => void (owned = false),
    [Symbol.dispose]: () => {
      if (owned) libc.munmap(kept, BigInt(keptSize));
    },
  };
}

/** A view of memory that another thread of this process has mapped. */
export function viewOf(address: number, size: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new RangeError("the null address has no view");
  return Deno.UnsafePointerView.getArrayBuffer(pointer, size);
}
