/**
 * `vireo cp -r`: a folder to or from a guest, as a tar stream. It is there
 * whole, or not at all.
 *
 * @module
 */
import { basename } from "node:path";
import { VireoError } from "../../ffi/error.ts";
import { exists } from "../../ffi/file.ts";
import { telling } from "./control.ts";
import type { GuestPath } from "./cp.ts";
import { ending, feed, start, textOf } from "./guest_script.ts";
import { tarOf, untar } from "./tar.ts";

/** For the guest's shell, with a path and a folder's name. */
const TAKE = `p=\${1%/}
[ -d "$p" ] && p=$p/$2
[ -e "$p" ] || [ -L "$p" ] && { echo "$p: is there already" >&2; exit 1; }
t=$p.vireo-$$
trap 'rm -rf "$t"; exit 1' TERM
mkdir "$t" && tar -xpf - -C "$t" && mv "$t" "$p" && exit
rm -rf "$t"; exit 1`;

/** The same, with a path; what is no folder is none of this. */
const NO_FOLDER = 33;
const GIVE = `[ -d "$1" ] || exit ${NO_FOLDER}
cd "$1" && exec tar -cf - .`;

/** Copies the folder `from`. */
export async function uploadFolder(
  from: string,
  { machine, path }: GuestPath,
): Promise<void> {
  await telling(machine, async () => {
    const folder = Deno.realPathSync(from);
    const process = await start(machine, TAKE, path, basename(folder));
    void process.stdout.cancel();
    const fed = feed(process, tarOf(folder));
    const complaint = await textOf(process.stderr);
    fed();
    await ending(process, complaint);
  });
}

/** Copies a guest's folder; false: it is none. */
export async function downloadFolder(
  { machine, path }: GuestPath,
  to: string,
): Promise<boolean> {
  return await telling(machine, async () => {
    await using process = await start(machine, GIVE, path);
    const target = exists(to) ? `${to}/${basename(path)}` : to;
    const made = `${target.replace(/\/+$/, "")}.vireo-${Deno.pid}`;
    using undo = new DisposableStack();
    const unpacked = (async () => {
      const chunks = process.stdout[Symbol.asyncIterator]();
      const first = await chunks.next();
      if (first.done) return; // no folder, or a complaint
      if (exists(target)) throw new VireoError(`"${target}" is there already`);
      Deno.mkdirSync(made);
      undo.defer(() => Deno.removeSync(made, { recursive: true }));
      await untar(
        (async function* () {
          yield first.value;
          for (let next; !(next = await chunks.next()).done;) yield next.value;
        })(),
        made,
      );
    })();
    unpacked.catch((error) =>
      process.abandon(new VireoError(`cp: ${(error as Error).message}`))
    );
    const said = await textOf(process.stderr);
    if ((await process.status).code === NO_FOLDER) return false;
    await ending(process, said);
    await unpacked;
    Deno.renameSync(made, target);
    undo.move();
    return true;
  });
}
