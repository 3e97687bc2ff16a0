/**
 * Makes a block device on the device worker.
 *
 * @module
 */
import { type IoEngine, rawBackend } from "../../backends/block/engine.ts";
import { type RawImage, SECTOR } from "../../backends/block/image.ts";
import type { OwnModule } from "../../own/load_class.ts";
import type { FaultPlan } from "../../faults/rules.ts";
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
  /** How the image is read and written. */
  engine: IoEngine;
  /** What the device offers. */
  options: BlkOptions;
  /** What happens to its requests; undefined: nothing ever does. */
  faults?: FaultPlan;
}

/** A disk whose bytes come from a module of the user's. */
export interface ModuleBlkData extends OwnModule {
  /** What GET_ID answers, and messages call it. */
  id: string;
  /** Writes are refused. */
  readOnly: boolean;
  /** What the device offers. */
  device: BlkOptions;
  /** As that of an image. */
  faults?: FaultPlan;
}

/** The device. */
export const make: Maker<BlkData | ModuleBlkData> = async (data, context) => {
  if ("module" in data) {
    const { makeModuleBlk } = await import("./make_module.ts");
    return await makeModuleBlk(data, context);
  }
  const { image, id, engine, options, faults } = data;
  using undo = new DisposableStack(); // unless the device is there
  let backend = rawBackend(image, REQUESTS, engine);
  undo.defer(() => backend.close());
  // Guests count in sectors, whatever the block of a direct disk is.
  if (image.blockSize > SECTOR) {
    const { BounceBackend } = await import("../../backends/block/bounce.ts");
    backend = new BounceBackend(backend, image, REQUESTS);
  }
  const device = faults
    ? await (await import("./faulty.ts")).faultyBlk(
      backend,
      faults,
      id,
      context,
      (backend) => {
        return new Blk(backend, id, options);
      },
    )
    : new Blk(backend, id, options);
  undo.move();
  return device;
};
