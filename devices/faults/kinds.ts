/**
 * What can happen to what, and what each kind of device has of it.
 *
 * @module
 */
import type { FaultEffect, FaultType } from "./rules.ts";

/** What can happen to each. */
export const EFFECTS: Record<FaultType, readonly FaultEffect[]> = {
  read: ["error", "short", "delay", "corrupt", "reorder", "stall"],
  write: ["error", "short", "delay", "drop", "reorder", "stall"],
  flush: ["error", "delay", "drop", "reorder", "stall"],
  discard: ["error", "delay", "drop", "reorder", "stall"],
  send: ["error", "delay", "drop", "duplicate", "corrupt", "reorder", "stall"],
  receive: ["delay", "drop", "duplicate", "corrupt", "reorder", "stall"],
  fill: ["short", "delay", "corrupt", "stall"],
  output: ["short", "delay", "drop", "duplicate", "corrupt", "stall"],
  input: ["short", "delay", "drop", "duplicate", "corrupt", "stall"],
  connect: ["error", "short"],
  used: ["delay", "corrupt", "stall"],
  interrupt: ["drop"],
};

/** A kind of device that can have faults. */
export type FaultyKind = "disk" | "net" | "entropy" | "console" | "vsock";

/** What each has. */
export const FAULTS: Record<FaultyKind, readonly FaultType[]> = {
  disk: ["read", "write", "flush", "discard", "used", "interrupt"],
  net: ["send", "receive", "used", "interrupt"],
  entropy: ["fill", "used", "interrupt"],
  console: ["output", "input", "used", "interrupt"],
  vsock: ["connect", "output", "input", "used", "interrupt"],
};
