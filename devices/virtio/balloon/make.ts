/**
 * Makes a balloon on the device worker.
 *
 * @module
 */
import type { Maker } from "../maker.ts";
import { Balloon } from "./balloon.ts";
import { type BalloonOptions } from "./spec.ts";

/** The device. */
export const make: Maker<BalloonOptions> = (options) => new Balloon(options);
