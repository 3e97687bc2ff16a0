/**
 * For tests, a program: what somebody else's reader of Chrome's trace format
 * makes of a file. Prints each row's process, name, and number of events.
 *
 * @module
 */
import { buildModel } from "@tracerbench/trace-model";

const { processes } = buildModel(
  JSON.parse(Deno.readTextFileSync(Deno.args[0]!)),
);
const rows = processes.flatMap((process) =>
  process.threads.map(({ name, events }) => ({
    process: process.name,
    name,
    events: events.filter((event) => !event.isMetadata()).length,
  }))
);
console.log(JSON.stringify(rows));
