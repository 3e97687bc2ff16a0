/**
 * The cgroups of a jail: found before anything is made, entered as one of its
 * last steps.
 *
 * @module
 */
import { JailError, tried } from "./error.ts";
import type { CgroupSetting, JailFlags } from "./flags.ts";
import { makeFolders } from "./folders.ts";

/** A cgroup that the process goes into. */
export interface Cgroup {
  /** Where its hierarchy is mounted. */
  mount: string;
  /** Its path below that. */
  path: string;
  version: 1 | 2;
  /** What is written to its files. */
  settings: CgroupSetting[];
  /** False: it has to be there. */
  make: boolean;
}

/**
 * Which cgroups are meant.
 *
 * @param program the name of what runs in the jail
 * @param mounts what `/proc/mounts` says
 * @throws {JailError} this host has them not
 */
export function cgroupsOf(
  flags: JailFlags,
  program: string,
  mounts: string,
): Cgroup[] {
  const { cgroups, cgroupVersion: version, parentCgroup, id } = flags;
  const path = `${parentCgroup ?? program}/${id}`;
  if (version === 1) return firstVersion(cgroups, path, mounts);
  if (cgroups.length === 0 && parentCgroup === undefined) return [];
  const mount = hierarchies(mounts, "cgroup2")[0]?.mount;
  if (mount === undefined) throw missing();
  // As there: without a setting it is the parent itself.
  if (cgroups.length === 0) {
    const settings: CgroupSetting[] = [];
    return [{ mount, path: parentCgroup!, version, settings, make: false }];
  }
  const controllers = read(`${mount}/cgroup.controllers`).trim().split(" ");
  for (const { file } of cgroups) {
    const controller = controllerOf(file);
    if (!controllers.includes(controller)) throw unavailable(controller);
  }
  return [{ mount, path, version, settings: cgroups, make: true }];
}

/** There each controller may have a hierarchy of its own. */
function firstVersion(
  settings: readonly CgroupSetting[],
  path: string,
  mounts: string,
): Cgroup[] {
  if (settings.length === 0) return [];
  const all = hierarchies(mounts, "cgroup");
  if (all.length === 0) throw missing();
  const found = new Map<string, Cgroup>();
  for (const setting of settings) {
    const controller = controllerOf(setting.file);
    const mount = all.find(({ options }) => options.includes(controller))
      ?.mount;
    if (mount === undefined) throw unavailable(controller);
    const cgroup = found.get(mount) ??
      { mount, path, version: 1 as const, settings: [], make: true };
    cgroup.settings.push(setting);
    found.set(mount, cgroup);
  }
  return [...found.values()];
}

function missing(): JailError {
  const why = "No hierarchy found for this cgroup version.";
  return new JailError(`Hierarchy not found: ${why}`);
}

function unavailable(controller: string): JailError {
  return new JailError(`Controller ${controller} is unavailable`);
}

function controllerOf(file: string): string {
  return file.slice(0, file.indexOf("."));
}

/** Lines of proc_mounts(5) with a type: where, and the options. */
function hierarchies(mounts: string, type: string) {
  return mounts.split("\n").map((line) => line.split(" ")).filter((words) =>
    words[2] === type
  ).map((words) => ({
    mount: words[1]!.replaceAll(
      /\\(\d{3})/g,
      (_, octal) => String.fromCharCode(parseInt(octal, 8)),
    ),
    options: words[3]!.split(","),
  }));
}

/**
 * Makes a cgroup as it is to be, and goes into it.
 *
 * @param undo gets what takes it away again
 * @throws {JailError} it can't be
 */
export function enterCgroup(cgroup: Cgroup, undo: DisposableStack): void {
  const { mount, path, settings, version, make } = cgroup;
  const folder = `${mount}/${path}`;
  if (make) makeFolders(folder, undo);
  for (const { file, value } of settings) {
    const above = foldersTo(cgroup);
    if (version === 1) inherit(above, file);
    // A controller's files are there where the cgroup above passes it on.
    else {
      for (const one of above.slice(0, -1)) {
        write(`${one}/cgroup.subtree_control`, `+${controllerOf(file)}`);
      }
    }
    write(`${folder}/${file}`, value);
  }
  write(`${folder}/cgroup.procs`, "0");
  // It can't go while this process is in it.
  undo.defer(() => Deno.writeTextFileSync(`${mount}/cgroup.procs`, "0\n"));
}

/** The folders from the hierarchy's root to the cgroup. */
function foldersTo({ mount, path }: Cgroup): string[] {
  const folders = [mount];
  for (const part of path.split("/")) folders.push(`${folders.at(-1)}/${part}`);
  return folders;
}

/** A file that starts empty, such as `cpuset.mems`, takes what is above it. */
function inherit(folders: readonly string[], file: string): void {
  for (const [at, folder] of folders.entries()) {
    const path = `${folder}/${file}`;
    if (at === 0 || read(path).trim() !== "") continue;
    const [above = ""] = read(`${folders[at - 1]}/${file}`).split("\n");
    if (above !== "") write(path, above);
  }
}

function read(path: string): string {
  const what = `Failed to read file ${path} into a string`;
  return tried(what, () => Deno.readTextFileSync(path));
}

function write(path: string, value: string): void {
  tried(
    `Failed to write to ${path}`,
    () => Deno.writeTextFileSync(path, `${value}\n`, { create: false }),
  );
}
