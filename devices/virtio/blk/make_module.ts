/**
 * Makes a block device on a module of the user's, on the device worker.
 *
 * @module
 */
import type { BlockBackend } from "../../backends/block/backend.ts";
import {
  type DiskModule,
  ModuleBackend,
} from "../../backends/block/disk_module.ts";
import { VireoError } from "../../../ffi/error.ts";
import { OwnCode } from "../../own/code.ts";
import { instanceOf } from "../../own/load_class.ts";
import { failureOf } from "../../runtime/load_module.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import type { MakerContext } from "../maker.ts";
import { Blk } from "./blk.ts";
import type { ModuleBlkData } from "./make.ts";
import type { BlkOptions } from "./spec.ts";

/** The device. */
export async function makeModuleBlk(
  { id, readOnly, device, faults, ...of }: ModuleBlkData,
  maker: MakerContext,
): Promise<VirtioDevice> {
  const module = await instanceOf<DiskModule>(
    "disk",
    of,
    ["read"],
    ["open", "write", "flush", "discard", "close"],
  );
  const own = new OwnCode(id, of.module, maker);
  try {
    await module.open?.(own.plain());
    const backend = new ModuleBackend(module, own, readOnly);
    const make = (outer: BlockBackend) =>
      new ModuleBlk(outer, backend, own, id, device);
    if (faults === undefined) return make(backend);
    const { faultyBlk } = await import("./faulty.ts");
    return faultyBlk(backend, faults, id, maker, make);
  } catch (error) {
    module.close?.();
    if (error instanceof VireoError) throw error;
    throw new VireoError(`disk ${of.module}: ${failureOf(error, of.module)}`);
  }
}

/** A disk that may wait for promises. */
class ModuleBlk extends Blk {
  readonly #module: ModuleBackend;
  readonly #own: OwnCode;

  constructor(
    outer: BlockBackend,
    backend: ModuleBackend,
    own: OwnCode,
    id: string,
    options: BlkOptions,
  ) {
    super(outer, id, options);
    this.#module = backend;
    this.#own = own;
  }

  override attach(context: DeviceContext): void {
    this.#own.attach(context, (reason) => this.#own.complain(reason));
    super.attach(context);
  }

  override quiesce(): void {
    super.flush();
    if (this.#module.waiting > 0) {
      throw new VireoError("can't be saved: it has not kept a promise");
    }
    super.quiesce();
  }
}
