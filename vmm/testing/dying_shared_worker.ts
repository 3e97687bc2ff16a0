/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * For tests: a shared device worker that fails when a second machine comes.
 *
 * @module
 */
import "../shared_devices/worker.ts";

const hear = self.onmessage!;
let messages = 0; // its own start, then one for each machine

self.onmessage = function (event) {
  if (++messages > 2) throw new Error("one is enough");
  hear.call(this, event);
};
