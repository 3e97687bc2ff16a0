/**
 * Makes a socket device whose host's sockets have faults.
 *
 * @module
 */
import type { UnixSocketsHandle } from "../../backends/vsock/unix_sockets.ts";
import { type FaultPlan, Faults } from "../../faults/rules.ts";
import { FaultySockets } from "../../faults/vsock.ts";
import { withFaults } from "../../faults/with_faults.ts";
import type { MakerContext } from "../maker.ts";
import { Vsock } from "./vsock.ts";

/** The device. */
export function faultyVsock(
  cid: number,
  handle: UnixSocketsHandle,
  plan: FaultPlan,
  { emit }: MakerContext,
): Vsock {
  const faults = new Faults("vsock", "vsock", plan, emit);
  const sockets = new FaultySockets(handle, faults);
  return withFaults(new Vsock(cid, sockets), faults, [sockets]);
}
