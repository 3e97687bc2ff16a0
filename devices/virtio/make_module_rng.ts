/**
 * Makes an entropy device on a module of the user's, on the device worker.
 *
 * @module
 */
import {
  type EntropyModule,
  ModuleEntropy,
} from "../backends/entropy/entropy_module.ts";
import { VireoError } from "../../ffi/error.ts";
import { OwnCode } from "../own/code.ts";
import { instanceOf, type OwnModule } from "../own/load_class.ts";
import { failureOf } from "../runtime/load_module.ts";
import type { MakerContext } from "./maker.ts";
import { Rng } from "./rng.ts";

/** The device. */
export async function makeModuleRng(
  of: OwnModule,
  maker: MakerContext,
): Promise<Rng> {
  const module = await instanceOf<EntropyModule>(
    "entropy",
    of,
    ["fill"],
    ["open", "close"],
  );
  const own = new OwnCode("entropy", of.module, maker);
  try {
    await module.open?.(own.plain());
  } catch (error) {
    module.close?.();
    const text = failureOf(error, of.module);
    throw new VireoError(`entropy ${of.module}: ${text}`);
  }
  const source = new ModuleEntropy(module, own);
  return new Rng(source, source);
}
