/**
 * The names of a kernel's entry points. They are an extension of
 * Firecracker's configuration, which has one way in.
 *
 * @module
 */

/**
 * Where a kernel is entered. `vmlinux`: the ELF file's 64-bit entry. `pvh`:
 * the 32-bit entry that its PVH note names. `bzimage`: the 64-bit entry of a
 * bzImage, whose own decompressor then unpacks the kernel in the guest.
 */
export type KernelEntry = "vmlinux" | "pvh" | "bzimage";

/** Every {@linkcode KernelEntry}. */
export const ENTRIES: readonly KernelEntry[] = ["vmlinux", "pvh", "bzimage"];
