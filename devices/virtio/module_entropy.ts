/**
 * Opens a module of the user's that random bytes come from.
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

/** The source, which lets requests wait. */
export async function openModuleEntropy(
  of: OwnModule,
  maker: MakerContext,
): Promise<ModuleEntropy> {
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
  return new ModuleEntropy(module, own);
}
