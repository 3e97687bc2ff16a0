/**
 * The folder that is a jail's root: what is in it, and how it becomes the root.
 *
 * @module
 */
import { cString, ifThere } from "../ffi/file.ts";
import { libc } from "../ffi/libc.ts";
import { made, tried } from "./error.ts";
import { makeFile, makeFolders, remove } from "./folders.ts";
import type { Bound } from "./runtime.ts";

/** Bits of mount(2) and of umount2(2). */
const Mount = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  BIND: 4096,
  REC: 16_384,
  SLAVE: 1 << 19,
} as const;
const MNT_DETACH = 2;

const CLONE_NEWNS = 0x20000;
const PIVOT_ROOT = 155;
const S_IFCHR = 0o20000;

/** Who owns what is in the jail. */
export interface Owner {
  uid: number;
  gid: number;
}

/** Folders of the owner's alone. */
const FOLDERS = ["/dev", "/dev/net", "/run"];

/** Devices of the host and their numbers, in the order of their making. */
const DEVICES: readonly (readonly [string, number])[] = [
  ["/dev/net/tun", 10 << 8 | 200],
  ["/dev/kvm", 10 << 8 | 232],
  ["/dev/urandom", 1 << 8 | 9],
];
/** Its number is given by the host's kernel, where it has one. */
const USERFAULTFD = "/dev/userfaultfd";

/**
 * Makes the folders and devices of a jail.
 *
 * @param undo gets what takes them away again
 * @throws {JailError} they can't be made, or are there already
 */
export function furnish(
  root: string,
  { uid, gid }: Owner,
  undo: DisposableStack,
): void {
  for (const path of ["", ...FOLDERS]) {
    const folder = `${root}${path}`;
    makeFolders(folder, undo);
    Deno.chmodSync(folder, 0o700);
    own(folder, uid, gid);
  }
  const number = ifThere(() => Deno.statSync(USERFAULTFD).rdev);
  const devices = number
    ? [...DEVICES, [USERFAULTFD, number] as const]
    : DEVICES;
  for (const [path, number] of devices) {
    const device = `${root}${path}`;
    made(
      libc.mknod(cString(device), S_IFCHR | 0o600, number),
      `Failed to create ${path} via mknod inside the jail`,
    );
    undo.defer(() => remove(device));
    own(device, uid, gid);
  }
}

function own(path: string, uid: number, gid: number): void {
  tried(
    `Failed to change owner for ${path}`,
    () => Deno.chownSync(path, uid, gid),
  );
}

/**
 * Gives this thread mounts of its own, with the jail's root as one of them.
 * What the host mounts below it later comes there, too.
 *
 * @param undo gets what takes it off again
 */
export function ownMounts(root: string, undo: DisposableStack): void {
  made(
    libc.unshare(CLONE_NEWNS),
    "Failed to unshare into new mount namespace",
  );
  mount(
    "none",
    "/",
    Mount.SLAVE | Mount.REC,
    "Failed to change the propagation type to slave",
  );
  const what = "Failed to bind mount the jail root directory";
  mount(root, root, Mount.BIND | Mount.REC, what);
  undo.defer(() => libc.umount2(cString(root), MNT_DETACH));
}

/**
 * Binds files and folders into the jail, for reading.
 *
 * @param undo gets what takes away the names that they have there
 */
export function bindAll(
  root: string,
  bound: readonly Bound[],
  undo: DisposableStack,
): void {
  for (const { from, to } of bound) {
    bind(from, `${root}${to}`, Mount.RDONLY | Mount.NODEV, undo);
  }
}

/**
 * All of `/proc` that there is in a jail: what the process finds of itself, and
 * what its processors are.
 */
export function bindProc(root: string, undo: DisposableStack): void {
  const own = `/proc/${Deno.readLinkSync("/proc/self")}`;
  const bits = Mount.NODEV | Mount.NOEXEC;
  bind(own, `${root}/proc/self`, bits, undo);
  bind("/proc/cpuinfo", `${root}/proc/cpuinfo`, bits | Mount.RDONLY, undo);
}

function bind(
  from: string,
  to: string,
  bits: number,
  undo: DisposableStack,
): void {
  const what = `Failed to bind mount ${from} into the jail`;
  const isFolder = tried(what, () => Deno.statSync(from).isDirectory);
  if (isFolder) makeFolders(to, undo);
  else makeFile(to, undo);
  mount(from, to, Mount.BIND, what);
  undo.defer(() => libc.umount2(cString(to), MNT_DETACH));
  mount(from, to, Mount.REMOUNT | Mount.BIND | Mount.NOSUID | bits, what);
}

function mount(from: string, to: string, bits: number, what: string): void {
  made(libc.mount(cString(from), cString(to), null, bits, null), what);
}

/** Makes the jail's root the root, and forgets the old one. */
export function pivot(root: string): void {
  const here = cString(".");
  made(
    libc.chdir(cString(root)),
    "Failed to chdir into chroot directory",
  );
  // The old root is under the new one then, and needs no name (pivot_root(2)).
  made(libc.pivot_root(PIVOT_ROOT, here, here), "Failed to pivot root");
  made(libc.umount2(here, MNT_DETACH), "Failed to unmount the old jail root");
  made(libc.chdir(cString("/")), "Failed to chdir into chroot directory");
}
