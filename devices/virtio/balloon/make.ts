/**
 * Makes a balloon on the device worker.
 *
 * @module
 */
import type { Maker } from "../maker.ts";
import { Balloon, type BalloonOptions } from "./balloon.ts";

/** The device. */
export const make: Maker<BalloonOptions> = (options) => new Balloon(options);
