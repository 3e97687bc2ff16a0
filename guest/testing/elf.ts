/**
 * For tests: an ELF kernel from its file into guest memory, in one step.
 *
 * @module
 */
import { type BootFile, OpenBootFile } from "../kernel/file.ts";
import { ELF_HEADER_MAX, parseElf } from "../kernel/elf.ts";
import { findPvhEntry, loadElf } from "../kernel/elf_loader.ts";
import type { GuestMemory } from "../memory.ts";

/** Where a test's kernel is, and where it is entered. */
export interface LoadedTestElf {
  /** The 64-bit entry point. */
  entry: number;
  /** First byte of the lowest segment. */
  lowest: number;
  /** After the last byte of the highest segment. */
  end: number;
  /** The 32-bit entry point of the PVH note, if there is one. */
  pvhEntry?: number;
}

/**
 * Parses and loads `file`.
 *
 * @throws {KernelError} when it can't be booted
 */
export function loadTestElf(
  memory: GuestMemory,
  file: BootFile,
): LoadedTestElf {
  using source = new OpenBootFile(file, "kernel");
  const head = source.head(ELF_HEADER_MAX);
  const elf = parseElf(head, source.size, source.label);
  const pvhEntry = findPvhEntry(elf, source);
  return {
    entry: elf.entry,
    ...loadElf(memory, elf, source),
    ...(pvhEntry !== undefined && { pvhEntry }),
  };
}
