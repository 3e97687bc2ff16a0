/**
 * Builds what the cache lacks of kernel and root image.
 *
 * @module
 */
import {
  cacheFolder,
  isBuilt,
  KERNEL,
  productPath,
  type Recipe,
  ROOTFS,
} from "./cache.ts";
import { buildKernel } from "./kernel.ts";
import { CommandLog } from "./logged_command.ts";
import {
  BUSYBOX_PACKAGE,
  ensurePackages,
  type Installed,
  installedPackages,
  PACKAGES,
  SOURCE_PACKAGE,
} from "./packages.ts";
import type { Prepared, ProgressOutput } from "./prepare.ts";
import { Progress, standardError, type Step } from "./progress.ts";
import { buildRootfs } from "./rootfs.ts";

// Weights are seconds on a machine with two cores: only their ratios count.
const PACKAGES_STEP: Step = { label: "installing packages", weight: 40 };
const UNPACK_STEP: Step = { label: "unpacking Linux", weight: 12 };
const COMPILE_STEP: Step = { label: "compiling Linux", weight: 190 };
const ROOTFS_STEP: Step = { label: "root image", weight: 1 };

/** A product, and what there is of it. */
interface Product {
  recipe: Recipe;
  /** The Debian package that it is made of. */
  source: string;
  path: string;
  needed: boolean;
}

/**
 * Brings the cache up to date.
 *
 * @param output where progress goes
 * @throws {VireoError} if packages are missing and can't be installed, or a
 *   build fails
 */
export async function build(
  output: ProgressOutput = standardError,
): Promise<Prepared> {
  const folder = cacheFolder();
  await Deno.mkdir(folder, { recursive: true });
  using _lock = await lock(folder, output);
  const installed = await installedPackages();
  const kernel = await product(KERNEL, SOURCE_PACKAGE, folder, installed);
  const rootfs = await product(ROOTFS, BUSYBOX_PACKAGE, folder, installed);
  if (kernel.needed || rootfs.needed) {
    await buildProducts(folder, kernel, rootfs, installed, output);
  }
  return { kernel: kernel.path, rootfs: rootfs.path };
}

async function buildProducts(
  folder: string,
  kernel: Product,
  rootfs: Product,
  before: Installed,
  output: ProgressOutput,
): Promise<void> {
  using log = new CommandLog(`${folder}/prepare.log`);
  const steps: Step[] = [];
  if (PACKAGES.some((name) => !before.has(name))) steps.push(PACKAGES_STEP);
  if (kernel.needed) steps.push(UNPACK_STEP, COMPILE_STEP);
  if (rootfs.needed) steps.push(ROOTFS_STEP);
  const progress = new Progress(steps, output);
  using stack = new DisposableStack();
  stack.defer(() => progress.end());
  const installed = await ensurePackages(
    log,
    () => progress.begin(PACKAGES_STEP.label),
  );
  if (kernel.needed) {
    progress.begin(UNPACK_STEP.label);
    await make(folder, kernel, installed, (work) =>
      buildKernel(work, {
        log,
        onCompile: () => progress.begin(COMPILE_STEP.label),
        onPart: (part) => progress.update(part),
      }));
  }
  if (rootfs.needed) {
    progress.begin(ROOTFS_STEP.label);
    await make(folder, rootfs, installed, (work) => buildRootfs(work, log));
  }
}

/** Waits until no other process is building. */
async function lock(
  folder: string,
  output: ProgressOutput,
): Promise<Deno.FsFile> {
  const file = await Deno.open(`${folder}/lock`, { create: true, write: true });
  const patience = setTimeout(
    () => output.write("waiting for another prepare to end\n"),
    1000,
  );
  try {
    await file.lock(true);
  } finally {
    clearTimeout(patience);
  }
  return file;
}

async function product(
  recipe: Recipe,
  source: string,
  folder: string,
  installed: Installed,
): Promise<Product> {
  const path = await productPath(recipe, folder);
  const version = installed.get(source);
  const current = await isBuilt(path) &&
    (version === undefined || version === await builtFrom(path));
  return { recipe, source, path, needed: !current };
}

/**
 * The version of the Debian package that a product was made of. It stands in a
 * file of its own because the check before every boot has no time to ask dpkg
 * which one it should be.
 */
async function builtFrom(path: string): Promise<string | undefined> {
  try {
    return (await Deno.readTextFile(`${path}.version`)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Builds in a folder of its own; what is complete moves into place. */
async function make(
  folder: string,
  product: Product,
  installed: Installed,
  buildIn: (work: string) => Promise<string>,
): Promise<void> {
  const work = `${folder}/build`;
  // An interrupted build left it. The lock is ours, so nobody uses it.
  await remove(work);
  await Deno.mkdir(work);
  try {
    const file = await buildIn(work);
    // The shared image must not change under a guest that has it mounted.
    await Deno.chmod(file, 0o444);
    await Deno.rename(file, product.path);
    const version = installed.get(product.source) ?? "";
    await Deno.writeTextFile(`${product.path}.version`, `${version}\n`);
  } finally {
    await remove(work);
  }
}

async function remove(folder: string): Promise<void> {
  try {
    await Deno.remove(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
