/**
 * From a command line to a process in a jail, in the order of Firecracker's
 * jailer.
 *
 * It all happens in the first thread: namespaces, mounts, user and group are a
 * thread's own, and with execve(2) the process has that thread's.
 *
 * @module
 */
import { basename } from "node:path";
import { osError } from "../api/os_error.ts";
import { Errno } from "../ffi/errno.ts";
import { closeFd, cString, exists, Open } from "../ffi/file.ts";
import { libc } from "../ffi/libc.ts";
import { type Cgroup, cgroupsOf, enterCgroup } from "./cgroups.ts";
import { JailError, made, tried } from "./error.ts";
import { become } from "./execute.ts";
import type { JailFlags } from "./flags.ts";
import { copyFile, makeFile, makeFolders } from "./folders.ts";
import { bindAll, bindProc, furnish, ownMounts, pivot } from "./root.ts";
import { isLauncher, type Program, vireo } from "./runtime.ts";

const CLONE_NEWNET = 0x40000000;
const RLIMIT_FSIZE = 1, RLIMIT_NOFILE = 7;
const PR_SET_NO_NEW_PRIVS = 38;
const SETUID = 105, SETGID = 106, SETGROUPS = 116, CLOSE_RANGE = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const FIRST_OTHER_FD = 3, LAST_FD = 2 ** 32 - 1;

/** What Deno needs to start; with fewer it says nothing useful. */
const FEW_DESCRIPTORS = 64n;

/** Clocks at the start of the jailer, in microseconds. */
export interface Started {
  monotonic: number;
  cpu: number;
}

/** A jail that can be made, as far as one can see before. */
export interface Jail {
  flags: JailFlags;
  /** The program, and its name in the jail. */
  execFile: string;
  name: string;
  /** The folder that is its root. */
  root: string;
  cgroups: Cgroup[];
  /** Undefined: the file needs nothing but itself. */
  program: Program | undefined;
}

/**
 * Looks for all that the command line names, and makes nothing.
 *
 * @throws {JailError} something is not there
 */
export function jailOf(flags: JailFlags): Jail {
  const execFile = real(flags.execFile);
  if (!Deno.statSync(execFile).isFile) {
    throw new JailError(`${execFile} is not a file`);
  }
  const name = basename(execFile);
  if (!name.includes("firecracker")) {
    throw new JailError(
      "Invalid filename. The filename of `--exec-file` option must contain " +
        `"firecracker": ${name}`,
    );
  }
  const base = real(flags.base);
  if (!Deno.statSync(base).isDirectory) {
    throw new JailError(`${base} is not a directory`);
  }
  const mounts = Deno.readTextFileSync("/proc/mounts");
  const own = isLauncher(execFile);
  if (own && flags.limits.noFile < FEW_DESCRIPTORS) {
    throw new JailError(
      `Failed to set limit for resource: no-file=${flags.limits.noFile} is ` +
        `too few for Vireo: ${FEW_DESCRIPTORS} at least`,
    );
  }
  return {
    ...{ flags, execFile, name },
    root: `${base}/${name}/${flags.id}/root`.replace(/^\/\//, "/"),
    cgroups: cgroupsOf(flags, name, mounts),
    program: own ? vireo(`/${name}`, flags) : undefined,
  };
}

function real(path: string): string {
  const what = `Failed to canonicalize path ${path}`;
  return tried(what, () => Deno.realPathSync(path));
}

/**
 * Makes the jail, and puts the program in the place of this process. When a
 * step fails, what was made goes again; only behind the change of the root it
 * stays.
 *
 * @param beforeExec is called when all is ready
 * @throws {JailError} a step has failed
 */
export function enter(
  jail: Jail,
  started: Started,
  beforeExec: () => void,
): never {
  const { flags, root, name, program } = jail;
  const nothing = flags.daemonize ? openNothing() : undefined;
  prepare(jail);
  pivot(root);
  if (nothing !== undefined) leaveSession(nothing);
  beforeExec();
  giveUpRights(flags);
  const words = [
    ...[`/${name}`, ...program?.words ?? []],
    ...["--id", flags.id],
    ...["--start-time-us", `${started.monotonic}`],
    ...["--start-time-cpu-us", `${flags.newPidNs ? 0 : started.cpu}`],
    ...["--parent-cpu-time-us", `${now().cpu - started.cpu}`],
    ...flags.rest,
  ];
  become(`/${name}`, words, program?.env ?? {});
}

/** What is made where the host's files are still to be seen. */
function prepare({ flags, root, execFile, name, cgroups, program }: Jail) {
  using undo = new DisposableStack();
  const copy = `${root}/${name}`;
  const pidFile = `${copy}.pid`;
  if (exists(pidFile)) throw usedPidFile(name);
  makeFolders(root, undo);
  copyFile(execFile, copy, undo);
  if (flags.netns !== undefined) joinNetwork(flags.netns);
  furnish(root, flags, undo);
  ownMounts(root, undo);
  if (program !== undefined) {
    bindAll(root, program.bound, undo);
    bindProc(root, undo);
  }
  for (const cgroup of cgroups) enterCgroup(cgroup, undo);
  makeFile(pidFile, undo);
  Deno.chmodSync(pidFile, 0o644);
  // As the host counts, also in a PID namespace.
  Deno.writeTextFileSync(pidFile, Deno.readLinkSync("/proc/self"));
  undo.move();
}

function usedPidFile(name: string): JailError {
  const why = osError(Errno.EEXIST);
  return new JailError(`Failed to open file /${name}.pid: ${why}`);
}

function joinNetwork(path: string): void {
  const what = `Failed to open file ${path}`;
  const fd = made(
    libc.open(cString(path), Open.RDONLY | Open.CLOEXEC, 0),
    what,
  );
  made(
    libc.setns(fd, CLONE_NEWNET),
    "Failed to join network namespace: netns",
  );
  closeFd(fd);
}

function openNothing(): number {
  const path = cString("/dev/null");
  const bits = Open.RDWR | Open.CLOEXEC;
  return made(libc.open(path, bits, 0), "Failed to open /dev/null");
}

function leaveSession(nothing: number): void {
  made(libc.setsid(), "Failed to daemonize: setsid");
  for (const fd of [0, 1, 2]) {
    made(libc.dup3(nothing, fd, 0), "Failed to duplicate fd");
  }
}

/** Of this thread: the others end with execve(2). */
function giveUpRights({ limits, uid, gid }: JailFlags): void {
  const { fsize, noFile } = limits;
  if (fsize !== undefined) limit(RLIMIT_FSIZE, fsize);
  limit(RLIMIT_NOFILE, noFile);
  made(
    libc.close_range(
      CLOSE_RANGE,
      FIRST_OTHER_FD,
      LAST_FD,
      CLOSE_RANGE_CLOEXEC,
    ),
    "Failed to close descriptors",
  );
  made(libc.setgroups_thread(SETGROUPS, 0, null), "Failed to leave all groups");
  made(libc.setid_thread(SETGID, gid), `Invalid gid: ${gid}`);
  made(libc.setid_thread(SETUID, uid), `Invalid uid: ${uid}`);
  made(
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    "Failed to give up new rights",
  );
}

function limit(resource: number, value: bigint): void {
  const both = new BigUint64Array([value, value]); // struct rlimit
  made(
    libc.setrlimit(resource, new Uint8Array(both.buffer)),
    "Failed to set limit for resource",
  );
}

const CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2;

/** What the clocks say. */
export function now(): Started {
  const micros = (clock: number) => {
    const time = new BigInt64Array(2); // struct timespec
    libc.clock_gettime(clock, new Uint8Array(time.buffer));
    return Number(time[0]! * 1_000_000n + time[1]! / 1000n);
  };
  return {
    monotonic: micros(CLOCK_MONOTONIC),
    cpu: micros(CLOCK_PROCESS_CPUTIME_ID),
  };
}
