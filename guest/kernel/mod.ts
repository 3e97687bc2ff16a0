/**
 * Kernel files: opened, unpacked and judged before guest memory is written.
 *
 * @module
 */
export { type BzImage, loadBzImage } from "./bzimage.ts";
export { loadElf } from "./elf_loader.ts";
export { ENTRIES, type KernelEntry } from "./entry.ts";
export { KernelError } from "./error.ts";
export { type BootFile, OpenBootFile } from "./file.ts";
export { type KernelImage, openKernel } from "./image.ts";
export { openPatiently } from "./patient.ts";
