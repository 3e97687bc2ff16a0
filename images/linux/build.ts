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
  kernelRecipe,
  type KernelVariant,
  productPath,
  type Recipe,
  ROOTFS,
} from "./cache.ts";
import { BUSYBOX, KERNEL_SOURCE, packagesFor } from "../../ffi/packages.ts";
import { ensureRoom, explainFailure } from "./failure.ts";
import type { KconfigFragment } from "./kconfig.ts";
import {
  KERNEL_ROOM,
  KernelSource,
  PLAIN_TREE,
  RESEARCH_ROOM,
  RESEARCH_TREE,
} from "./kernel.ts";
import { PrepareLock } from "./lock.ts";
import { CommandLog } from "./logged_command.ts";
import {
  type Installed,
  installedPackages,
  installPackages,
  missingPackages,
} from "./packages.ts";
import { moduleFolder, type ProgressOutput } from "./prepare.ts";
import { Progress, standardError, type Step } from "./progress.ts";
import { buildRootfs } from "./rootfs.ts";
import { WorkFolder } from "./work_folder.ts";

// Weights are seconds on a machine with two cores: only their ratios count.
const PACKAGES_STEP: Step = { label: "installing packages", weight: 14 };
const UNPACK_STEP: Step = { label: "unpacking Linux", weight: 8 };
const ROOTFS_STEP: Step = { label: "root image", weight: 1 };
const COMPILE_STEPS: Readonly<Record<KernelVariant, Step>> = {
  small: { label: "compiling Linux", weight: 110 },
  full: { label: "compiling full Linux", weight: 160 },
  research: { label: "compiling research Linux", weight: 600 },
};

function bzImageStep(compression: Compression): Step {
  return { label: `${compression} bzImage`, weight: 8 };
}

/** Bytes of disk that making the root image takes, and some to spare. */
const ROOTFS_ROOM = 32 * 1024 ** 2;

/** What a build is to make; the root image is always part of it. */
export interface Wanted {
  /** Kernels as ELF files; the research variant comes alone. */
  kernels: readonly KernelVariant[];
  /** Options of the user's for that. */
  own?: KconfigFragment | undefined;
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
  own: KconfigFragment | undefined;
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
  try {
    await Deno.mkdir(folder, { recursive: true });
    using lock = await PrepareLock.take(folder, output);
    const missing = await findMissing(wanted, folder);
    if (stepsFor(missing).length > 0) {
      await make(missing, folder, output, lock);
    }
  } catch (error) {
    throw explainFailure(error, folder);
  }
}

async function make(
  missing: Missing,
  folder: string,
  output: ProgressOutput,
  lock: PrepareLock,
): Promise<void> {
  const packages = await missingPackages(packagesOf(missing));
  await using work = await WorkFolder.make(`${folder}/build`);
  await ensureRoom(folder, roomFor(variantsFor(missing)));
  using log = new CommandLog(`${folder}/prepare.log`);
  const steps = stepsFor(missing);
  if (packages.length > 0) steps.unshift(PACKAGES_STEP);
  const progress = new Progress(steps, output, undefined, (line) => {
    lock.say(line);
  });
  using stack = new DisposableStack();
  stack.defer(() => progress.end());
  await new Build(work, log, progress).run(missing, packages);
}

function roomFor(variants: readonly KernelVariant[]): number {
  if (variants.includes("research")) return RESEARCH_ROOM;
  return variants.length > 0 ? KERNEL_ROOM : ROOTFS_ROOM;
}

async function findMissing(
  wanted: Wanted,
  folder: string,
): Promise<Missing> {
  const installed = await installedSources();
  const { own } = wanted;
  const missing: Missing = { kernels: new Map(), bzImages: new Map(), own };
  const find = async (recipe: Recipe, source: string) => {
    const path = await productPath(recipe, folder);
    const version = installed.get(source);
    const current = await isBuilt(path) &&
      (version === undefined || version === await builtFrom(path));
    return current ? undefined : { path, source };
  };
  for (const variant of wanted.kernels) {
    const recipe = await kernelRecipe(variant, own?.text);
    const product = await find(recipe, KERNEL_SOURCE);
    if (product) missing.kernels.set(variant, product);
  }
  for (const compression of wanted.bzImages) {
    const product = await find(bzImageRecipe(compression), KERNEL_SOURCE);
    if (product) missing.bzImages.set(compression, product);
  }
  missing.rootfs = await find(ROOTFS, BUSYBOX);
  return missing;
}

function installedSources(): Promise<Installed> {
  return installedPackages([KERNEL_SOURCE, BUSYBOX]);
}

/** The packages that making what is missing needs. */
function packagesOf(missing: Missing): string[] {
  return [
    ...new Set([
      ...variantsFor(missing).length > 0 ? packagesFor("kernel build") : [],
      ...missing.rootfs ? packagesFor("root image") : [],
    ]),
  ].toSorted();
}

/** The variants to compile: a bzImage is made of the full one. */
function variantsFor({ kernels, bzImages }: Missing): KernelVariant[] {
  if (kernels.has("research")) return ["research"];
  const variants: KernelVariant[] = kernels.has("small") ? ["small"] : [];
  if (kernels.has("full") || bzImages.size > 0) variants.push("full");
  return variants;
}

function stepsFor(missing: Missing): Step[] {
  const variants = variantsFor(missing);
  if (variants.length === 0) return missing.rootfs ? [ROOTFS_STEP] : [];
  return [
    UNPACK_STEP,
    ...variants.map((variant) => COMPILE_STEPS[variant]),
    ...Array.from(missing.bzImages.keys(), bzImageStep),
  ];
}

/** One run through the steps. */
class Build {
  readonly #work: WorkFolder;
  readonly #log: CommandLog;
  readonly #progress: Progress;

  constructor(work: WorkFolder, log: CommandLog, progress: Progress) {
    this.#work = work;
    this.#log = log;
    this.#progress = progress;
  }

  async run(missing: Missing, packages: readonly string[]): Promise<void> {
    const update = (part: number) => this.#progress.update(part);
    if (variantsFor(missing).length > 0) {
      await this.#kernels(missing, packages);
    } else if (missing.rootfs) {
      if (packages.length > 0) {
        this.#progress.begin(PACKAGES_STEP.label);
        await installPackages(this.#log, packages, update);
      }
      this.#progress.begin(ROOTFS_STEP.label);
      await this.#rootfs(missing.rootfs);
    }
  }

  async #kernels(missing: Missing, packages: readonly string[]): Promise<void> {
    const progress = this.#progress;
    const update = (part: number) => progress.update(part);
    const source = await this.#source(missing, packages);
    for (const variant of variantsFor(missing)) {
      progress.begin(COMPILE_STEPS[variant].label);
      const kernel = await source.compile(variant, update, missing.own);
      const product = missing.kernels.get(variant);
      if (variant === "research") {
        await replaceFolder(
          await source.forModules(),
          moduleFolder({ kernel: product!.path }),
        );
      }
      if (product) await this.#keep(kernel, product);
    }
    for (const [compression, product] of missing.bzImages) {
      progress.begin(bzImageStep(compression).label);
      await this.#keep(await source.bzImage(compression), product);
    }
  }

  /**
   * Unpacks the source as soon as it is there: the compiler is installed and
   * makes the root image meanwhile.
   */
  async #source(
    missing: Missing,
    packages: readonly string[],
  ): Promise<KernelSource> {
    const progress = this.#progress;
    const early = packagesFor("kernel source");
    const first = packages.filter((name) => early.includes(name));
    const rest = packages.filter((name) => !early.includes(name));
    if (packages.length > 0) progress.begin(PACKAGES_STEP.label);
    if (first.length > 0) {
      await installPackages(this.#log, first, (part) => progress.update(part));
    }
    progress.begin(UNPACK_STEP.label);
    const parts = { unpacked: 0, installed: rest.length > 0 ? 0 : 1 };
    const update = () =>
      progress.update(Math.min(parts.unpacked, parts.installed));
    const [source] = await bothSettled(
      KernelSource.unpack(
        this.#work,
        this.#log,
        missing.kernels.has("research") ? RESEARCH_TREE : PLAIN_TREE,
        (part) => {
          parts.unpacked = part;
          update();
        },
      ),
      (async () => {
        if (rest.length > 0) {
          await installPackages(this.#log, rest, (part) => {
            parts.installed = part;
            update();
          });
        }
        if (missing.rootfs) await this.#rootfs(missing.rootfs);
      })(),
    );
    return source;
  }

  async #rootfs(product: Product): Promise<void> {
    await this.#keep(await buildRootfs(this.#work.path, this.#log), product);
  }

  /** What is complete moves into place. */
  async #keep(file: string, { path, source }: Product): Promise<void> {
    // What machines share must not change under one that uses it.
    await Deno.chmod(file, 0o444);
    await Deno.rename(file, path);
    const version = (await installedSources()).get(source) ?? "";
    await Deno.writeTextFile(`${path}.version`, `${version}\n`);
  }
}

/** What is complete moves to where an older one may be. */
async function replaceFolder(folder: string, path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await Deno.rename(folder, path);
}

/**
 * Waits for both, also when one fails: neither may go on in a folder that is
 * removed.
 */
async function bothSettled<A, B>(
  a: Promise<A>,
  b: Promise<B>,
): Promise<[A, B]> {
  await Promise.allSettled([a, b]);
  return await Promise.all([a, b]);
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
