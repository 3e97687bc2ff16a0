/**
 * Debian's kernel for virtual machines, as its package brings it: fetched,
 * unpacked without installing, and given an initial RAM disk. Kept in
 * `~/.cache/vireo/debian`, by version.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";
import { BUSYBOX, CLOUD_KERNEL } from "../../ffi/packages.ts";
import { cacheFolder, inputsKey, isBuilt } from "../linux/cache.ts";
import { explainFailure } from "../linux/failure.ts";
import { CommandLog, runLogged } from "../linux/logged_command.ts";
import type { ProgressOutput } from "../linux/prepare.ts";
import { Progress, standardError } from "../linux/progress.ts";
import { Apt } from "./apt.ts";
import { makeInitramfs, NEEDED_MODULES, WANTED_MODULES } from "./initramfs.ts";
import { readModules } from "./modules.ts";

/** How long the newest kernel is taken to be the newest. */
const LOOK_AGAIN_MS = 24 * 60 * 60 * 1000;
/** What decides how the initial RAM disk looks. */
const INPUTS = ["init.sh", "initramfs.ts", "modules.ts", "../cpio.ts"];

const LOOK = { label: "looking for Debian's kernel", weight: 3 };
const FETCH = { label: "fetching the kernel", weight: 10 };
const UNPACK = { label: "unpacking the kernel", weight: 4 };
const STEPS = [LOOK, FETCH, UNPACK];

/** A distribution's kernel, ready to boot. */
export interface DistroKernel {
  /** The kernel, as in the package: a bzImage. */
  kernel: string;
  /** The initial RAM disk. */
  initrd: string;
  /** Package and version, for people. */
  version: string;
}

/** Options of {@linkcode prepareDebian}. */
export interface DistroOptions {
  /** Where progress goes; default: standard error. */
  output?: ProgressOutput;
  /** The folder of all that is kept; default: the cache's. */
  folder?: string;
}

/**
 * Debian's current cloud kernel; fetched if it isn't there. Once a day it is
 * looked whether there is a newer one.
 *
 * @throws {VireoError} when it can't be had
 */
export async function prepareDebian(
  { output = standardError, folder = `${cacheFolder()}/debian` }:
    DistroOptions = {},
): Promise<DistroKernel> {
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (error) {
    throw explainFailure(error, folder);
  }
  const known = await currentVersion(folder);
  const ready = known && await kernelIn(folder, known);
  if (ready) return ready;
  using lock = await Deno.open(`${folder}/lock`, { create: true, write: true });
  await lock.lock(true);
  using log = new CommandLog(`${folder}/log`);
  const progress = new Progress(STEPS, output);
  using stack = new DisposableStack();
  stack.defer(() => progress.end());
  progress.begin(LOOK.label);
  const apt = new Apt(folder, log);
  const id = known ?? await newestImage(apt);
  if (!await kernelIn(folder, id)) {
    await make(folder, id, { apt, log, progress });
  }
  await Deno.writeTextFile(`${folder}/current`, id);
  return (await kernelIn(folder, id))!;
}

interface Tools {
  apt: Apt;
  log: CommandLog;
  progress: Progress;
}

/** What was the newest when it was last looked, unless that is long ago. */
async function currentVersion(folder: string): Promise<string | undefined> {
  const path = `${folder}/current`;
  if (!await isBuilt(path)) return undefined;
  const { mtime } = await Deno.stat(path);
  if (Date.now() - (mtime?.getTime() ?? 0) > LOOK_AGAIN_MS) return undefined;
  return await Deno.readTextFile(path);
}

/** The concrete package that the metapackage depends on: `NAME_VERSION`. */
async function newestImage(apt: Apt): Promise<string> {
  const { depends } = await apt.show(CLOUD_KERNEL);
  const name = depends.find((other) => /^linux-image-\d/.test(other));
  if (name === undefined) {
    throw new VireoError(`${CLOUD_KERNEL}: depends on no kernel`);
  }
  return `${name}_${(await apt.show(name)).version}`;
}

/** The finished files of a version, if they belong to these sources. */
async function kernelIn(
  folder: string,
  id: string,
): Promise<DistroKernel | undefined> {
  const { kernel, initrd } = await paths(folder, id);
  const both = await Promise.all([isBuilt(kernel), isBuilt(initrd)]);
  const version = id.replace("_", " ");
  return both.every(Boolean) ? { kernel, initrd, version } : undefined;
}

async function paths(folder: string, id: string) {
  const contents = await Promise.all(
    INPUTS.map((input) => Deno.readFile(new URL(input, import.meta.url))),
  );
  const key = await inputsKey(INPUTS, contents);
  const home = `${folder}/${id}`;
  return {
    home,
    kernel: `${home}/vmlinuz`,
    initrd: `${home}/initramfs-${key}.cpio`,
  };
}

/** Works in a folder of its own; what is complete moves into place. */
async function make(
  folder: string,
  id: string,
  tools: Tools,
): Promise<void> {
  const { home, kernel, initrd } = await paths(folder, id);
  await Deno.mkdir(home, { recursive: true });
  const work = await Deno.makeTempDir({ dir: folder, prefix: "work-" });
  try {
    const debs = await fetchPackages(home, id, tools);
    tools.progress.begin(UNPACK.label);
    for (const deb of debs) {
      await runLogged(tools.log, ["dpkg-deb", "-x", deb, work]);
    }
    const archive = await initramfs(work);
    await Deno.writeFile(`${work}/initramfs`, archive);
    await Deno.rename(`${work}/initramfs`, initrd);
    await Deno.rename(await kernelFile(work), kernel);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** The packages' files are kept: a change of `init.sh` needs no network. */
async function fetchPackages(
  home: string,
  id: string,
  { apt, progress }: Tools,
): Promise<string[]> {
  const kept = `${home}/packages`;
  if (!await isFolder(kept)) {
    progress.begin(FETCH.label);
    const partial = `${home}/partial`;
    await Deno.mkdir(partial, { recursive: true });
    await apt.download(await apt.show(BUSYBOX), partial);
    const [name = "", version = ""] = id.split("_");
    const onPart = (part: number) => progress.update(part);
    await apt.download({ name, version }, partial, onPart);
    await Deno.rename(partial, kept);
  }
  return [...Deno.readDirSync(kept)].map(({ name }) => `${kept}/${name}`);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function initramfs(work: string): Promise<Uint8Array<ArrayBuffer>> {
  const release = await only(`${work}/lib/modules`, /./);
  const modules = await readModules(release, WANTED_MODULES);
  for (const name of NEEDED_MODULES) {
    if (!modules.some((module) => module.name === name)) {
      throw new VireoError(`Debian's kernel has no module ${name}`);
    }
  }
  const busybox = await Deno.readFile(`${work}/bin/busybox`);
  return await makeInitramfs(busybox, modules);
}

async function kernelFile(work: string): Promise<string> {
  return await only(`${work}/boot`, /^vmlinuz-/);
}

/** The one entry of a folder whose name matches. */
async function only(folder: string, pattern: RegExp): Promise<string> {
  for await (const { name } of Deno.readDir(folder)) {
    if (pattern.test(name)) return `${folder}/${name}`;
  }
  throw new VireoError(`${folder}: has nothing like ${pattern}`);
}
