/**
 * Makes the end of a console port in a module of the user's.
 *
 * @module
 */
import {
  ModulePort,
  type PortModule,
} from "../../backends/console/port_module.ts";
import { OwnCode } from "../../own/code.ts";
import { instanceOf, type OwnModule } from "../../own/load_class.ts";
import type { MakerContext } from "../maker.ts";

/** The port called `name`. */
export async function makeModulePort(
  name: string,
  of: OwnModule,
  maker: MakerContext,
): Promise<ModulePort> {
  const module = await instanceOf<PortModule>(
    "port",
    of,
    ["data"],
    ["open", "close"],
  );
  return new ModulePort(module, new OwnCode(`port ${name}`, of.module, maker));
}
