/**
 * The initial RAM disk for a distribution's kernel: busybox, the modules that
 * virtio needs, and `init.sh`.
 *
 * @module
 */
import { cpioArchive, type CpioEntry, file, FileType } from "../cpio.ts";
import { folder, link } from "../cpio.ts";
import type { KernelModule } from "./modules.ts";

/**
 * Drivers for what Vireo gives to a guest, and ext4. What these need comes
 * with them; what is built into the kernel is no module.
 */
export const WANTED_MODULES: readonly string[] = [
  "virtio_mmio",
  "virtio_blk",
  "virtio_net",
  "virtio_console",
  "virtio_balloon",
  "virtio_rng",
  "vmw_vsock_virtio_transport",
  "ext4",
  "af_packet",
];

/** The modules without which there are no devices at all. */
export const NEEDED_MODULES: readonly string[] = ["virtio_mmio", "virtio_blk"];

const INIT = new URL("init.sh", import.meta.url);

/**
 * Makes the archive.
 *
 * @param busybox the program, linked statically
 * @param modules in the order of loading
 */
export async function makeInitramfs(
  busybox: Uint8Array,
  modules: readonly KernelModule[],
): Promise<Uint8Array<ArrayBuffer>> {
  const order = modules.map(({ name }) => `${name}\n`).join("");
  const entries: CpioEntry[] = [
    ...["bin", "dev", "modules", "proc", "sbin", "sys", "usr"].map(folder),
    ...["usr/bin", "usr/sbin"].map(folder),
    // The console of the kernel's first process, before /dev is mounted.
    {
      path: "dev/console",
      mode: FileType.CHARACTER_DEVICE | 0o600,
      device: { major: 5, minor: 1 },
    },
    file("bin/busybox", busybox, true),
    link("bin/sh", "busybox"),
    file("init", await Deno.readFile(INIT), true),
    ...modules.map(({ name, data }) => file(`modules/${name}.ko`, data)),
    file("modules/order", new TextEncoder().encode(order)),
  ];
  return cpioArchive(entries);
}
