/**
 * What a machine's RAM lies over: the image of a snapshot, once it was restored
 * from one, reset to one, or was the base of one. Then a copy of the RAM is that
 * image again, and the pages that have become the machine's own.
 *
 * That is exact for whatever wrote to a page: the guest, a device, or the host's
 * kernel for one.
 *
 * @module
 */
import { sealMemoryFile } from "../../ffi/file.ts";
import { mapFileOver } from "../../ffi/memory/mmap.ts";
import { privatePages } from "../../ffi/memory/pagemap.ts";
import { GuestMemory } from "../../guest/memory.ts";
import type { MachineParts } from "../build.ts";
import type { Machine } from "../machine.ts";
import { isMapped, MemoryImage } from "./memory_image.ts";
import { type Run, RunCollector, sizeOf } from "./runs.ts";

/** Beyond this part of the RAM, a new image is better than so many pages. */
const OWN_PART = 1 / 4;

const images = new WeakMap<MachineParts, MemoryImage>();
/** Views of machines that were copied: another one would cost V8 a collection. */
const views = new WeakMap<MachineParts, GuestMemory>();
/** The files that machines write to, which may become their images. */
const files = new WeakMap<MachineParts, MemoryImage>();

/**
 * Puts the RAM of a machine that has not begun into a file, which the first
 * image can be without a copy.
 *
 * @throws {VireoError} the host has no room; the machine has ended
 */
export async function makeForkable(
  machine: Pick<Machine, "stop">,
  parts: MachineParts,
): Promise<void> {
  try {
    moveToFile(parts);
  } catch (error) {
    await machine.stop();
    throw error;
  }
}

function moveToFile(parts: MachineParts): void {
  if (!canLie(parts)) return; // it is copied
  const { memory } = parts.vcpus[0]!.start;
  const file = MemoryImage.writable(GuestMemory.attach(memory));
  files.set(parts, file);
  parts.defer(() => files.get(parts)?.[Symbol.dispose]());
  let offset = 0;
  for (const region of memory) {
    const { hostAddress, size } = region;
    mapFileOver(hostAddress, size, file.fd, offset, "shared");
    region.backing = "shared";
    offset += size;
  }
}

/**
 * Maps the image over the RAM of a machine that doesn't run; it goes on from
 * there. RAM in a file, or of the host's pool, gets a copy. Devices that have
 * begun have to be told before they use the RAM again.
 */
export function layOver(parts: MachineParts, image: MemoryImage): void {
  const { memory } = parts.vcpus[0]!.start;
  image.mapOver(memory);
  if (!canLie(parts)) return;
  files.get(parts)?.[Symbol.dispose](); // it is mapped nowhere any more
  files.delete(parts);
  const before = images.get(parts);
  if (before) before[Symbol.dispose]();
  else parts.defer(() => images.get(parts)?.[Symbol.dispose]());
  images.set(parts, image.share());
}

/** Whether RAM may be mapped over an image. */
export function canLie({ vcpus }: MachineParts): boolean {
  return vcpus[0]!.start.memory.every(isMapped);
}

/** What the machine's RAM lies over. */
export function imageOf(parts: MachineParts): MemoryImage | undefined {
  return images.get(parts);
}

/**
 * Copies the RAM of a machine that doesn't run: what is its own, or all of it.
 */
export function copyRam(parts: MachineParts): MemoryImage {
  let memory = views.get(parts);
  if (memory === undefined) {
    memory = GuestMemory.attach(parts.vcpus[0]!.start.memory);
    views.set(parts, memory);
  }
  const image = images.get(parts);
  const own = image && ownRuns(memory);
  return own === undefined ? MemoryImage.of(memory) : image!.share(own);
}

/**
 * Makes the RAM of a machine that doesn't run lie over an image of what it is
 * now, and returns that. Its devices are to be told, if it didn't before.
 */
export function baseOf(parts: MachineParts): MemoryImage {
  const file = files.get(parts);
  const image = file?.share() ?? copyRam(parts);
  if (!canLie(parts) || imageOf(parts)?.shares(image)) return image;
  layOver(parts, image);
  if (file) sealMemoryFile(image.fd);
  return image;
}

/** Undefined: the kernel can't tell, or they are too many. */
function ownRuns({ regions, size }: GuestMemory): Run[] | undefined {
  const collector = new RunCollector();
  let offset = 0;
  let own = 0;
  for (const region of regions) {
    const pages = privatePages(region.hostAddress, region.size);
    if (pages === undefined) return undefined;
    own += sizeOf(pages);
    if (own > size * OWN_PART) return undefined;
    for (const { from, to } of pages) {
      collector.add(offset + from, region.u8.subarray(from, to));
    }
    offset += region.size;
  }
  return collector.runs;
}
