/**
 * `vireo prepare --export`: what is prepared here, for another machine.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { VireoError } from "../../../ffi/error.ts";
import { temporaryFolder } from "../../../ffi/temporary.ts";
import { cacheFolder, isBuilt } from "../cache.ts";
import { type BundledFile, MANIFEST, products } from "./manifest.ts";

/**
 * Puts all that is prepared into one archive (tar, gzip), with a manifest.
 *
 * @param path the archive; must not be there yet
 * @param folder the cache's folder
 * @returns the files in it
 * @throws {VireoError} when nothing is prepared, or it can't be written
 */
export async function exportBundle(
  path: string,
  folder: string = cacheFolder(),
): Promise<BundledFile[]> {
  const files: BundledFile[] = [];
  for (const [name, product] of await products(folder)) {
    if (await isBuilt(product)) files.push(await describe(name, product));
  }
  if (files.length === 0) {
    throw new VireoError(
      `export "${path}": nothing is prepared yet; "vireo prepare" does that`,
    );
  }
  const work = temporaryFolder("vireo-export-");
  try {
    const manifest = JSON.stringify({ format: 1, files }, null, 2);
    await Deno.writeTextFile(`${work}/${MANIFEST}`, `${manifest}\n`);
    const names = files.map(({ name }) => name);
    await archive(path, work, folder, names);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return files;
}

async function describe(name: string, path: string): Promise<BundledFile> {
  const hash = createHash("sha256");
  let size = 0;
  using file = await Deno.open(path);
  for await (const chunk of file.readable) {
    hash.update(chunk);
    size += chunk.length;
  }
  const version = await Deno.readTextFile(`${path}.version`).catch(() => "");
  return { name, size, sha256: hash.digest("hex"), version: version.trim() };
}

async function archive(
  path: string,
  work: string,
  folder: string,
  names: readonly string[],
): Promise<void> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { createNew: true, write: true });
  } catch (error) {
    throw new VireoError(`export "${path}": ${reason(error)}`);
  }
  const child = new Deno.Command("tar", {
    args: [
      ...["--create", "--owner=0", "--group=0", "-C", work, MANIFEST],
      ...["-C", folder, ...names],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  try {
    const packed = child.stdout.pipeThrough(new CompressionStream("gzip"));
    await packed.pipeTo(file.writable);
    const { success } = await child.status;
    if (!success) throw new Error(`tar: ${(await said).trim()}`);
  } catch (error) {
    await Promise.all([child.status, said]);
    await Deno.remove(path);
    throw new VireoError(`export "${path}": ${reason(error)}`);
  }
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.AlreadyExists) return "is there already";
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll("\n", "; ").replace(/: (open|mkdir) .*$/, "");
}
