/**
 * `vireo prepare --from`: what another machine has prepared. A bundle may come
 * from anywhere: what is taken of it is what its manifest names, these sources
 * ask for, and has the SHA-256 that the manifest says.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { VireoError } from "../../../ffi/error.ts";
import { cacheFolder } from "../cache.ts";
import { explainFailure } from "../failure.ts";
import { Progress, standardError } from "../progress.ts";
import type { ProgressOutput } from "../prepare.ts";
import {
  type BundledFile,
  LARGEST_MANIFEST,
  LARGEST_PRODUCT,
  MANIFEST,
  type Manifest,
  parseManifest,
  products,
} from "./manifest.ts";

const FETCH = { label: "fetching the bundle", weight: 1 };
/** No bundle is larger, in bytes. */
const LARGEST_BUNDLE = 4 * LARGEST_PRODUCT;

/**
 * Takes kernels and root images out of a bundle.
 *
 * @param from an archive's path or URL, or a folder with what is in one
 * @param output where progress goes
 * @param folder the cache's folder
 * @returns the paths of what is in the cache now
 * @throws {VireoError} when it can't be had, is none, is damaged, or belongs to
 *   other sources; nothing is taken then
 */
export async function takeBundle(
  from: string,
  output: ProgressOutput = standardError,
  folder: string = cacheFolder(),
): Promise<string[]> {
  const fail = (reason: string) =>
    new VireoError(`prepare --from "${from}": ${reason}`);
  let work: string;
  try {
    await Deno.mkdir(folder, { recursive: true });
    work = await Deno.makeTempDir({ dir: folder, prefix: "from-" });
  } catch (error) {
    const explained = explainFailure(error, folder);
    if (explained instanceof VireoError) throw explained;
    throw new VireoError(`${folder}: ${reasonOf(error)}`);
  }
  try {
    const path = /^https?:/.test(from)
      ? await download(from, `${work}/bundle`, output)
      : from;
    const open = (await Deno.stat(path)).isDirectory ? ofFolder : ofArchive;
    const manifest = await readManifest(open, path);
    return await take(open, path, manifest, work, folder);
  } catch (error) {
    throw fail(reasonOf(error));
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** The bytes of one file of a bundle. */
type Open = (path: string, name: string) => ReadableStream<Uint8Array>;

function ofFolder(path: string, name: string): ReadableStream<Uint8Array> {
  if (!Deno.statSync(`${path}/${name}`).isFile) {
    throw new Error(`${name} is not a file`);
  }
  return Deno.openSync(`${path}/${name}`).readable;
}

/** tar writes to its standard output only: no name in the archive is used. */
function ofArchive(path: string, name: string): ReadableStream<Uint8Array> {
  const child = new Deno.Command("tar", {
    args: ["--extract", "--to-stdout", "--gzip", "-f", path, "--", name],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  return child.stdout.pipeThrough(
    new TransformStream({
      async flush() {
        const { success } = await child.status;
        if (!success) throw new Error(`is no bundle, or has no whole ${name}`);
      },
    }),
  );
}

async function readManifest(open: Open, path: string): Promise<Manifest> {
  const bytes = new Uint8Array(LARGEST_MANIFEST);
  let length = 0;
  for await (const chunk of open(path, MANIFEST)) {
    if (length + chunk.length > bytes.length) throw new Error("is no bundle");
    bytes.set(chunk, length);
    length += chunk.length;
  }
  const text = new TextDecoder().decode(bytes.subarray(0, length));
  const manifest = parseManifest(text);
  if (manifest) return manifest;
  throw new Error(`its ${MANIFEST} is none that this Vireo knows`);
}

/** All or nothing: files go to their places when all of them are right. */
async function take(
  open: Open,
  path: string,
  { files }: Manifest,
  work: string,
  folder: string,
): Promise<string[]> {
  const known = await products(folder);
  const wanted = files.filter(({ name }) => known.has(name));
  if (wanted.length === 0) {
    const has = files.map(({ name }) => name).join(", ") || "nothing";
    throw new Error(
      `is of another Vireo: it has ${has}, and this one needs ` +
        [...known.keys()].join(", "),
    );
  }
  for (const file of wanted) {
    await copy(open(path, file.name), file, `${work}/${file.name}`);
  }
  return await Promise.all(wanted.map(async ({ name, version }) => {
    const place = known.get(name)!;
    await Deno.rename(`${work}/${name}`, place);
    await Deno.writeTextFile(`${place}.version`, `${version}\n`);
    return place;
  }));
}

async function copy(
  from: ReadableStream<Uint8Array>,
  { name, size, sha256 }: BundledFile,
  to: string,
): Promise<void> {
  const hash = createHash("sha256");
  let length = 0;
  const file = await Deno.open(to, { createNew: true, write: true });
  const check = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      length += chunk.length;
      if (length > size) throw new Error(`${name} is larger than it says`);
      hash.update(chunk);
      controller.enqueue(chunk);
    },
  });
  await from.pipeThrough(check).pipeTo(file.writable);
  if (length !== size || hash.digest("hex") !== sha256) {
    throw new Error(`${name} is damaged: its SHA-256 is another`);
  }
  await Deno.chmod(to, 0o444);
}

async function download(
  url: string,
  to: string,
  output: ProgressOutput,
): Promise<string> {
  const response = await fetch(url);
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new Error(`the server answers ${response.status}`);
  }
  const total = Number(response.headers.get("content-length") ?? 0);
  let length = 0;
  const progress = new Progress([FETCH], output);
  progress.begin(FETCH.label);
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      length += chunk.length;
      if (length > LARGEST_BUNDLE) throw new Error("is too large for a bundle");
      if (total > 0) progress.update(length / total);
      controller.enqueue(chunk);
    },
  });
  try {
    const file = await Deno.open(to, { createNew: true, write: true });
    await response.body.pipeThrough(count).pipeTo(file.writable);
  } finally {
    progress.end();
  }
  return to;
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (!(error instanceof Error)) return String(error);
  // A failed fetch keeps its reason there.
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`.replaceAll("\n", "; ");
}
