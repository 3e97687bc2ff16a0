/**
 * Runs one machine, its `VmConfig` being the argument, as JSON.
 *
 * @module
 */
import { Machine } from "../../vmm/machine.ts";

const machine = await Machine.create(JSON.parse(Deno.args[0]!), {
  onOutput: (bytes) => Deno.stdout.writeSync(bytes),
  onLog: (message) => console.error(message),
});
machine.start();
const end = await machine.wait();
if (end.message !== undefined) console.error(end.message);
