/**
 * Removes kernels and root images from the cache that belong to other sources
 * than these, so that what CI keeps does not grow.
 *
 * @module
 */
import {
  bzImageRecipe,
  cacheFolder,
  COMPRESSIONS,
  KERNELS,
  productPath,
  ROOTFS,
} from "../images/linux/cache.ts";

const recipes = [
  ...Object.values(KERNELS),
  ...COMPRESSIONS.map(bzImageRecipe),
  ROOTFS,
];
const wanted = new Set(
  await Promise.all(recipes.map((one) => productPath(one))),
);
for (const { name, isFile } of Deno.readDirSync(cacheFolder())) {
  const path = `${cacheFolder()}/${name}`;
  const ours = recipes.some((one) => name.startsWith(`${one.name}-`));
  const product = path.replace(/\.version$/, "");
  if (isFile && ours && !wanted.has(product)) Deno.removeSync(path);
}
