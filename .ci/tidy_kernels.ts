/**
 * Removes kernels and root images from the cache that belong to other sources
 * than these, so that what CI keeps does not grow.
 *
 * @module
 */
import { products } from "../images/linux/bundle/manifest.ts";
import { instantFolder, removeEntry } from "../cli/instant/cache.ts";
import {
  cacheFolder,
  kernelRecipe,
  productPath,
  RECIPES,
} from "../images/linux/cache.ts";
import { moduleFolder } from "../images/linux/prepare.ts";

const folder = cacheFolder();
const wanted = new Set((await products(folder)).keys());
const research = await productPath(await kernelRecipe("research"), "");
for (const path of [research, moduleFolder({ kernel: research })]) {
  wanted.add(path.slice(1));
}
for (const { name } of Deno.readDirSync(folder)) {
  const ours = RECIPES.some((one) => name.startsWith(`${one.name}-`));
  const product = name.replace(/\.version$/, "");
  if (ours && !wanted.has(product)) {
    Deno.removeSync(`${folder}/${name}`, { recursive: true });
  }
}
// Machines that are kept for the next boot are this checkout's own.
removeEntry(instantFolder());
