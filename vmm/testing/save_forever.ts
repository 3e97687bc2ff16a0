/**
 * For tests, a program: saves the snapshot of its first argument in the folder
 * of its second one, again and again, and prints a line before each time.
 *
 * @module
 */
import { openFolder } from "../snapshot/on_disk/folder.ts";
import { saveFolder } from "../snapshot/on_disk/save_folder.ts";

const [from, to] = Deno.args as [string, string];
const line = new TextEncoder().encode("saves\n");
using opened = openFolder(from);
for (;;) {
  Deno.stdout.writeSync(line);
  saveFolder(opened.snapshot, to);
}
