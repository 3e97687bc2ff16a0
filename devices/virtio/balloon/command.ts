/**
 * What a balloon can be told by its owner, and what it answers.
 *
 * @module
 */
import type { GuestStats } from "./stats.ts";

/** A command to the device. */
export type BalloonCommand =
  | { type: "set-target"; mib: number }
  | { type: "set-stats-interval"; seconds: number }
  | { type: "stats" }
  | { type: "start-hinting" }
  | { type: "stop-hinting" };

/** What the device knows, in Firecracker's words. */
export interface BalloonStats extends GuestStats {
  /** The balloon's size as asked for, in pages of 4 KiB. */
  target_pages: number;
  /** Its size as the guest says. */
  actual_pages: number;
  /** The balloon's size as asked for. */
  target_mib: number;
  /** Its size as the guest says. */
  actual_mib: number;
  /** Pages that the host has got back so far, by whatever way. */
  discarded_pages: number;
  /** A run of hints is going on. */
  hinting: boolean;
}
