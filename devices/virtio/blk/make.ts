/**
 * Makes a block device on the device worker.
 *
 * @module
 */
import type { BlockBackend } from "../../backends/block/backend.ts";
import { type IoEngine, rawBackend } from "../../backends/block/engine.ts";
import { type RawImage, SECTOR } from "../../backends/block/image.ts";
import type { OwnModule } from "../../own/load_class.ts";
import type { FaultPlan } from "../../faults/rules.ts";
import type { Maker } from "../maker.ts";
import { Blk } from "./blk.ts";
import type { BlkOptions } from "./spec.ts";

/** Not literals in `import()`: those are read at the start, needed or not. */
const BOUNCE = new URL("../../backends/block/bounce.ts", import.meta.url).href;
const FAULTY = new URL("./faulty.ts", import.meta.url).href;
const MAKE_MODULE = new URL("./make_module.ts", import.meta.url).href;

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
    const { makeModuleBlk }: typeof import("./make_module.ts") = await import(
      MAKE_MODULE
    );
    return await makeModuleBlk(data, context);
  }
  const { image, id, engine, options, faults } = data;
  using undo = new DisposableStack(); // unless the device is there
  let backend = rawBackend(image, REQUESTS, engine);
  undo.defer(() => backend.close());
  // Guests count in sectors, whatever the block of a direct disk is.
  if (image.blockSize > SECTOR) {
    const { BounceBackend }: typeof import("../../backends/block/bounce.ts") =
      await import(BOUNCE);
    backend = new BounceBackend(backend, image, REQUESTS);
  }
  const blk = (backend: BlockBackend) => new Blk(backend, id, options);
  const faulty = async (faults: FaultPlan) => {
    const { faultyBlk }: typeof import("./faulty.ts") = await import(FAULTY);
    return faultyBlk(backend, faults, id, context, blk);
  };
  const device = faults === undefined ? blk(backend) : await faulty(faults);
  undo.move();
  return device;
};
