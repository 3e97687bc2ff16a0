/**
 * Makes a socket device on the device worker.
 *
 * @module
 */
import {
  UnixSockets,
  type UnixSocketsHandle,
} from "../../backends/vsock/unix_sockets.ts";
import type { FaultPlan } from "../../faults/rules.ts";
import type { OwnModule } from "../../own/load_class.ts";
import type { Maker } from "../maker.ts";
import { Vsock } from "./vsock.ts";

/** A guest's address, and its way to the host. */
export interface VsockData {
  /** The guest's context id. */
  cid: number;
  /** The host's sockets. */
  sockets: UnixSocketsHandle;
  /** Modules that listen for the guest at ports. */
  listeners?: ({ port: number } & OwnModule)[];
  /** What happens to connections and bytes; undefined: nothing ever does. */
  faults?: FaultPlan;
}

/** The device. */
export const make: Maker<VsockData> = async (
  { cid, sockets, listeners = [], faults },
  context,
) => {
  const device = faults === undefined
    ? new Vsock(cid, new UnixSockets(sockets))
    : (await import("./faulty.ts")).faultyVsock(cid, sockets, faults, context);
  if (listeners.length === 0) return device;
  const { withListeners } = await import("./make_module.ts");
  return await withListeners(device, sockets.path, listeners, context);
};
