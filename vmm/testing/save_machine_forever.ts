/**
 * For tests, a program: a machine at work on the disk of its first argument is
 * saved in the folder of its second one, again and again; it prints a line
 * before each time, but for the first, which is over then.
 *
 * @module
 */
import { Machine } from "../machine.ts";
import { recording } from "./records.ts";

const [disk, to] = Deno.args as [string, string];
const line = new TextEncoder().encode("saves\n");
await using machine = await Machine.create(recording(disk), {
  onOutput() {},
});
machine.start();
for (;;) {
  using snapshot = await machine.snapshot();
  snapshot.save(to);
  Deno.stdout.writeSync(line);
}
