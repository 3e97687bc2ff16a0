/**
 * Makes a socket device on the device worker.
 *
 * @module
 */
import {
  UnixSockets,
  type UnixSocketsHandle,
} from "../../backends/vsock/unix_sockets.ts";
import type { Maker } from "../maker.ts";
import { Vsock } from "./vsock.ts";

/** A guest's address, and its way to the host. */
export interface VsockData {
  /** The guest's context id. */
  cid: number;
  /** The host's sockets. */
  sockets: UnixSocketsHandle;
}

/** The device. */
export const make: Maker<VsockData> = ({ cid, sockets }) =>
  new Vsock(cid, new UnixSockets(sockets));
