/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The entry point of a device worker that several machines share.
 *
 * @module
 */
import { lookUpNow } from "../../ffi/libc.ts";
import type { Joining, SharedMessage, SharedStart } from "./messages.ts";
import { SharedThread } from "./thread.ts";

lookUpNow("epoll_wait", "read_u32", "write_u32", "ioctl_pointer");

let thread: SharedThread | undefined;

self.onmessage = ({ data }: MessageEvent<SharedStart | Joining>) => {
  if (thread === undefined) thread = new SharedThread(data as SharedStart);
  else {
    const { machine, start } = data as Joining;
    void thread.join(start, (message, transfer) => {
      const told: SharedMessage = { machine, message };
      if (transfer) self.postMessage(told, transfer);
      else self.postMessage(told);
    });
  }
};
