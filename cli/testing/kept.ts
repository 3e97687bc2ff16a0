/**
 * For tests: commands in a prepared Linux that need not be booted again.
 *
 * @module
 */
import { resolve } from "../../vmm/config/resolve.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import { TestMachine } from "../../vmm/testing/mod.ts";
import { makeNonce } from "../exec.ts";
import { instantBoot, useOrders } from "../instant/plan.ts";
import { sourcesHash } from "./sources.ts";

/**
 * The machine of `config`, with a prepared kernel and root disk, started: it
 * runs `commands`, from where its init asked for them in an earlier boot, if
 * these sources have had one, else from the beginning.
 */
export async function commanded(
  config: VmConfig,
  commands: string,
): Promise<TestMachine> {
  const address = useOrders(config);
  const said: string[] = [];
  const boot = await instantBoot(resolve(config), address, {
    nonce: makeNonce(),
    exec: commands,
    folders: [],
    of: sourcesHash(),
    say: (line) => said.push(line),
  });
  const test = await TestMachine.of((options) => boot.make(options));
  test.log.push(...said);
  test.machine.start();
  return test;
}
