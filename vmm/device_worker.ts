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

const post = (message: WorkerMessage): void => self.postMessage(message);

self.onmessage = async (event: MessageEvent<DeviceWorkerStart | string>) => {
  const { data } = event;
  // A module that it is going to need; what is wrong with it is told then.
  if (typeof data === "string") return void import(data).catch(() => {});
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
