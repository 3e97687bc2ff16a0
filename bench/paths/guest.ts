/**
 * What is measured: a guest as the rows describe it, and the virtual machine
 * monitors that can run it.
 *
 * @module
 */

/** What the payload is to do, and on which machine. */
export interface Guest {
  /** The payload's command line. */
  words: string;
  /** RAM in MiB. */
  memory: number;
  /** A disk on this image; `direct` bypasses the host's page cache. */
  disk?: { path: string; direct: boolean };
  /** An interface on this TAP of this network namespace. */
  network?: { netns: string; tap: string };
}

/** Who runs it. */
export type VmmName = "vireo" | "qemu" | "c" | "firecracker" | "empty";

/** A virtual machine monitor with one choice of settings. */
export interface Vmm {
  /** Which one. */
  readonly name: VmmName;
  /** The settings that a reader needs in order to judge the figures. */
  readonly settings: string;
  /** What it prints once it has started; default: what the guest prints. */
  readonly started?: RegExp;
  /** The program and its arguments. */
  command(guest: Guest): string[];
}
