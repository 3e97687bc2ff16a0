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

/** Not literals in `import()`: those are read at the start, needed or not. */
const FAULTY = new URL("./faulty.ts", import.meta.url).href;
const MAKE_MODULE = new URL("./make_module.ts", import.meta.url).href;

/** The device. */
export const make: Maker<VsockData> = async (
  { cid, sockets, listeners = [], faults },
  context,
) => {
  const faulty = async (faults: FaultPlan) => {
    const { faultyVsock }: typeof import("./faulty.ts") = await import(FAULTY);
    return faultyVsock(cid, sockets, faults, context);
  };
  const plain = () => new Vsock(cid, new UnixSockets(sockets));
  const device = faults === undefined ? plain() : await faulty(faults);
  if (listeners.length === 0) return device;
  const { withListeners }: typeof import("./make_module.ts") = await import(
    MAKE_MODULE
  );
  return await withListeners(device, sockets.path, listeners, context);
};
