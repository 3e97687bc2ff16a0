/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The entry point of the device worker.
 *
 * @module
 */
import { errorText } from "../ffi/error.ts";
import { DeviceThread } from "./device_thread.ts";
import type { DeviceWorkerStart, WorkerMessage } from "./messages.ts";

function post(message: WorkerMessage): void {
  self.postMessage(message);
}

self.onmessage = async ({ data }: MessageEvent<DeviceWorkerStart>) => {
  try {
    using devices = await DeviceThread.make(data, post);
    post({ type: "ready" });
    await devices.run();
  } catch (error) {
    post({ type: "end", end: { reason: "error", message: errorText(error) } });
  } finally {
    post({ type: "stopped" });
  }
};
