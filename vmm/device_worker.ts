/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The entry point of the device worker.
 *
 * @module
 */
import { errorText } from "../ffi/error.ts";
import { lookUpNow } from "../ffi/libc.ts";
import { DeviceThread } from "./device_thread.ts";
import type { DeviceWorkerStart, WorkerMessage } from "./messages.ts";

const post = (message: WorkerMessage): void => self.postMessage(message);

// While the rest of the machine is made, this thread has time. The channel is
// its own: to transfer a port takes the main isolate longer.
const { port1, port2 } = new MessageChannel();
const told: WorkerMessage = { type: "commands", port: port2 };
self.postMessage(told, [port2]);
lookUpNow("epoll_wait", "read_u32", "write_u32", "ioctl_pointer");

self.onmessage = async (event: MessageEvent<DeviceWorkerStart | string>) => {
  const { data } = event;
  // A module that it is going to need; what is wrong with it is told then.
  if (typeof data === "string") return void import(data).catch(() => {});
  try {
    using devices = await DeviceThread.make(data, post, port1);
    post({ type: "ready" });
    await devices.run();
  } catch (error) {
    post({ type: "end", end: { reason: "error", message: errorText(error) } });
  } finally {
    post({ type: "stopped" });
  }
};
