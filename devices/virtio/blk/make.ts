/**
 * Makes a block device on the device worker.
 *
 * @module
 */
import { rawBackend, type RawImage } from "../../backends/block/raw.ts";
import type { Maker } from "../maker.ts";
import { Blk } from "./blk.ts";
import type { BlkOptions } from "./spec.ts";

/** Requests that one disk may have in flight. */
const REQUESTS = 256;

/** A disk that is open. */
export interface BlkData {
  /** Its image. */
  image: RawImage;
  /** What GET_ID answers. */
  id: string;
  /** Each request is one blocking call, also where there is io_uring. */
  sync: boolean;
  /** What the device offers. */
  options: BlkOptions;
}

/** The device. */
export const make: Maker<BlkData> = ({ image, id, sync, options }) => {
  using undo = new DisposableStack(); // unless the device is there
  const backend = rawBackend(image, REQUESTS, sync);
  undo.defer(() => backend.close());
  const device = new Blk(backend, id, options);
  undo.move();
  return device;
};
