/**
 * What is in a bundle: an archive, or a folder, with prepared kernels and root
 * images for another machine.
 *
 * @module
 */
import { productPath, RECIPES } from "../cache.ts";

/** The name of the manifest's file, the first in the archive. */
export const MANIFEST = "manifest.json";
/** More than any manifest takes, in bytes. */
export const LARGEST_MANIFEST = 64 * 1024;
/** More than any kernel or root image takes, in bytes. */
export const LARGEST_PRODUCT = 1024 ** 3;

/** A file of the bundle. */
export interface BundledFile {
  /** Its name in the cache, with the hash of what it is made of. */
  name: string;
  /** Its length in bytes. */
  size: number;
  /** The SHA-256 of its contents, in hexadecimal digits. */
  sha256: string;
  /** The version of the Debian package that it is made of. */
  version: string;
}

/** The manifest. */
export interface Manifest {
  /** The format's version. */
  format: 1;
  /** The files. */
  files: BundledFile[];
}

/** The recipes' products: paths in the cache by their files' names. */
export async function products(folder: string): Promise<Map<string, string>> {
  const paths = await Promise.all(
    RECIPES.map((recipe) => productPath(recipe, folder)),
  );
  return new Map(paths.map((path) => [path.slice(folder.length + 1), path]));
}

/**
 * Reads a manifest, which may come from anywhere.
 *
 * @param text its JSON
 * @returns undefined when it is none
 */
export function parseManifest(text: string): Manifest | undefined {
  let value: Partial<Manifest> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (value?.format !== 1 || !Array.isArray(value.files)) return undefined;
  return value.files.every(isFile) ? value as Manifest : undefined;
}

function isFile(value: unknown): value is BundledFile {
  if (typeof value !== "object" || value === null) return false;
  const { name, size, sha256, version } = value as Partial<BundledFile>;
  return typeof name === "string" && /^[\w-]+(\.\w+)?$/.test(name) &&
    Number.isSafeInteger(size) && size! > 0 && size! <= LARGEST_PRODUCT &&
    typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256) &&
    typeof version === "string" && /^[\w.+:~-]{0,100}$/.test(version);
}
