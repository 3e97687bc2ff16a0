/**
 * Puts a kernel of any kind into guest memory, with all that its boot
 * protocol wants beside it.
 *
 * @module
 */
import type { Registers, SpecialRegisters } from "../../ffi/kvm/registers.ts";
import {
  type BootFile,
  type KernelImage,
  loadBzImage,
  loadElf,
} from "../kernel/mod.ts";
import type { KernelCommandLine } from "./cmdline.ts";
import { setUpLinux } from "./linux.ts";
import { bootRegisters, enterLongMode, writeBootTables } from "./long_mode.ts";
import { writeGeneration } from "../generation.ts";
import type { GuestMemory } from "../memory.ts";
import { enterProtectedMode, pvhRegisters, setUpPvh } from "./pvh.ts";

/** Where a kernel is. All addresses are guest physical. */
export interface LoadedKernel {
  /** Its first byte. */
  lowest: number;
  /** After its last byte, with all that it uses before it has a memory map. */
  end: number;
  /** Where it is entered, as {@linkcode KernelImage.entry} says. */
  entry: number;
}

/** What goes into the guest beside the kernel. */
export interface LoadOptions {
  /** The kernel command line. */
  commandLine: KernelCommandLine;
  /** The initial RAM disk. */
  initrd?: BootFile;
  /** Guest address of ACPI's RSDP, for the kernel to find it. */
  rsdp?: number;
}

/** How the boot vCPU starts. */
export interface BootState {
  /** Its general registers; those that are left out are 0. */
  registers: Partial<Registers>;
  /** Changes its special registers to the mode that the kernel wants. */
  enterMode(sregs: SpecialRegisters): void;
}

/**
 * Loads `image` into `memory`.
 *
 * @throws {KernelError} when it doesn't fit or can't be read
 */
export function loadKernel(
  memory: GuestMemory,
  { entry, elf, bzImage, pvhEntry, source }: KernelImage,
): LoadedKernel {
  if (elf === undefined) return loadBzImage(memory, bzImage!, source);
  const place = loadElf(memory, elf, source);
  return { ...place, entry: entry === "pvh" ? pvhEntry! : elf.entry };
}

/**
 * Puts beside the kernel what its boot protocol wants.
 *
 * @param kernel where {@linkcode loadKernel} put it
 * @throws {KernelError} when something doesn't fit or can't be read
 */
export function setUpBoot(
  memory: GuestMemory,
  { entry, bzImage }: KernelImage,
  kernel: LoadedKernel,
  options: LoadOptions,
): BootState {
  const more = { ...options, kernelEnd: kernel.end };
  writeGeneration(memory.regions);
  if (entry === "pvh") {
    const startInfo = setUpPvh(memory, more);
    return {
      registers: pvhRegisters(kernel.entry, startInfo),
      enterMode: enterProtectedMode,
    };
  }
  const bootParams = setUpLinux(memory, { ...more, bzImage });
  writeBootTables(memory);
  return {
    registers: bootRegisters(kernel.entry, bootParams),
    enterMode: enterLongMode,
  };
}
