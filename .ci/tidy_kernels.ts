/**
 * Removes kernels and root images from the cache that belong to other sources
 * than these, so that what CI keeps does not grow.
 *
 * @module
 */
import { products } from "../images/linux/bundle/manifest.ts";
import { instantFolder, removeEntry } from "../cli/instant/cache.ts";
import { cacheFolder, RECIPES } from "../images/linux/cache.ts";

const folder = cacheFolder();
const wanted = await products(folder);
for (const { name, isFile } of Deno.readDirSync(folder)) {
  const ours = RECIPES.some((one) => name.startsWith(`${one.name}-`));
  const product = name.replace(/\.version$/, "");
  if (isFile && ours && !wanted.has(product)) {
    Deno.removeSync(`${folder}/${name}`);
  }
}
// Machines that are kept for the next boot are this checkout's own.
removeEntry(instantFolder());
