/**
 * Builds what the cache lacks of kernels and root image.
 *
 * @module
 */
import {
  bzImageRecipe,
  cacheFolder,
  type Compression,
  isBuilt,
  KERNELS,
  type KernelVariant,
  productPath,
  type Recipe,
  ROOTFS,
} from "./cache.ts";
import { BUSYBOX, KERNEL_SOURCE } from "../../ffi/packages.ts";
import { KernelSource } from "./kernel.ts";
import { CommandLog } from "./logged_command.ts";
import {
  ensurePackages,
  type Installed,
  installedPackages,
  PREPARE_PACKAGES,
} from "./packages.ts";
import type { ProgressOutput } from "./prepare.ts";
import { Progress, standardError, type Step } from "./progress.ts";
import { buildRootfs } from "./rootfs.ts";

// Weights are seconds on a machine with two cores: only their ratios count.
const PACKAGES_STEP: Step = { label: "installing packages", weight: 40 };
const UNPACK_STEP: Step = { label: "unpacking Linux", weight: 12 };
const ROOTFS_STEP: Step = { label: "root image", weight: 1 };
const COMPILE_STEPS: Readonly<Record<KernelVariant, Step>> = {
  small: { label: "compiling Linux", weight: 190 },
  full: { label: "compiling full Linux", weight: 260 },
};

function bzImageStep(compression: Compression): Step {
  return { label: `${compression} bzImage`, weight: 20 };
}

/** What a build is to make; the root image is always part of it. */
export interface Wanted {
  /** Kernels as ELF files. */
  kernels: readonly KernelVariant[];
  /** The full kernel as bzImages. */
  bzImages: readonly Compression[];
}

/** A product that the cache lacks. */
interface Product {
  path: string;
  /** The Debian package that it is made of. */
  source: string;
}

/** What the cache lacks. */
interface Missing {
  kernels: Map<KernelVariant, Product>;
  bzImages: Map<Compression, Product>;
  rootfs?: Product;
}

/**
 * Brings the cache up to date.
 *
 * @param wanted what has to be there afterwards
 * @param output where progress goes
 * @throws {VireoError} if packages are missing and can't be installed, or a
 *   build fails
 */
export async function build(
  wanted: Wanted,
  output: ProgressOutput = standardError,
): Promise<void> {
  const folder = cacheFolder();
  await Deno.mkdir(folder, { recursive: true });
  using _lock = await lock(folder, output);
  const installed = await installedPackages();
  const missing = await findMissing(wanted, folder, installed);
  const steps = stepsFor(missing);
  if (steps.length === 0) return;
  if (PREPARE_PACKAGES.some((name) => !installed.has(name))) {
    steps.unshift(PACKAGES_STEP);
  }
  using log = new CommandLog(`${folder}/prepare.log`);
  await using work = await WorkFolder.make(`${folder}/build`);
  const progress = new Progress(steps, output);
  using stack = new DisposableStack();
  stack.defer(() => progress.end());
  await new Build(work.path, log, progress).run(missing);
}

async function findMissing(
  wanted: Wanted,
  folder: string,
  installed: Installed,
): Promise<Missing> {
  const missing: Missing = { kernels: new Map(), bzImages: new Map() };
  const find = async (recipe: Recipe, source: string) => {
    const path = await productPath(recipe, folder);
    const version = installed.get(source);
    const current = await isBuilt(path) &&
      (version === undefined || version === await builtFrom(path));
    return current ? undefined : { path, source };
  };
  for (const variant of wanted.kernels) {
    const product = await find(KERNELS[variant], KERNEL_SOURCE);
    if (product) missing.kernels.set(variant, product);
  }
  for (const compression of wanted.bzImages) {
    const product = await find(bzImageRecipe(compression), KERNEL_SOURCE);
    if (product) missing.bzImages.set(compression, product);
  }
  missing.rootfs = await find(ROOTFS, BUSYBOX);
  return missing;
}

/** The variants to compile: a bzImage is made of the full one. */
function variantsFor({ kernels, bzImages }: Missing): KernelVariant[] {
  const variants: KernelVariant[] = kernels.has("small") ? ["small"] : [];
  if (kernels.has("full") || bzImages.size > 0) variants.push("full");
  return variants;
}

function stepsFor(missing: Missing): Step[] {
  const variants = variantsFor(missing);
  return [
    ...(variants.length > 0 ? [UNPACK_STEP] : []),
    ...variants.map((variant) => COMPILE_STEPS[variant]),
    ...Array.from(missing.bzImages.keys(), bzImageStep),
    ...(missing.rootfs ? [ROOTFS_STEP] : []),
  ];
}

/** One run through the steps. */
class Build {
  readonly #work: string;
  readonly #log: CommandLog;
  readonly #progress: Progress;
  #installed: Installed = new Map();

  constructor(work: string, log: CommandLog, progress: Progress) {
    this.#work = work;
    this.#log = log;
    this.#progress = progress;
  }

  async run(missing: Missing): Promise<void> {
    this.#installed = await ensurePackages(
      this.#log,
      () => this.#progress.begin(PACKAGES_STEP.label),
    );
    if (variantsFor(missing).length > 0) await this.#kernels(missing);
    if (missing.rootfs) {
      this.#progress.begin(ROOTFS_STEP.label);
      const image = await buildRootfs(this.#work, this.#log);
      await this.#keep(image, missing.rootfs);
    }
  }

  async #kernels(missing: Missing): Promise<void> {
    const progress = this.#progress;
    progress.begin(UNPACK_STEP.label);
    const source = await KernelSource.unpack(this.#work, this.#log);
    for (const variant of variantsFor(missing)) {
      progress.begin(COMPILE_STEPS[variant].label);
      const kernel = await source.compile(
        variant,
        (part) => progress.update(part),
      );
      const product = missing.kernels.get(variant);
      if (product) await this.#keep(kernel, product);
    }
    for (const [compression, product] of missing.bzImages) {
      progress.begin(bzImageStep(compression).label);
      await this.#keep(await source.bzImage(compression), product);
    }
  }

  /** What is complete moves into place. */
  async #keep(file: string, { path, source }: Product): Promise<void> {
    // What machines share must not change under one that uses it.
    await Deno.chmod(file, 0o444);
    await Deno.rename(file, path);
    const version = this.#installed.get(source) ?? "";
    await Deno.writeTextFile(`${path}.version`, `${version}\n`);
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

/** A folder for the time of a build. */
class WorkFolder implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes it, without what an interrupted build left: the lock is ours. */
  static async make(path: string): Promise<WorkFolder> {
    const folder = new WorkFolder(path);
    await folder[Symbol.asyncDispose]();
    await Deno.mkdir(path);
    return folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await Deno.remove(this.path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
