/**
 * For tests: a prepared Linux that need not be booted again.
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
 * goes on from where its init asked for orders in an earlier boot, if these
 * sources have had one, else it boots.
 *
 * @param orders.nonce by which init's marks are known
 * @param orders.exec commands to run; without them there is a shell
 * @param orders.cold it boots, whatever is kept
 */
export async function startKept(
  config: VmConfig,
  orders: { nonce: string; exec?: string; cold?: boolean },
): Promise<TestMachine> {
  const address = useOrders(config);
  const said: string[] = [];
  const boot = await instantBoot(resolve(config), address, {
    ...orders,
    folders: [],
    of: sourcesHash(),
    say: (line) => said.push(line),
  });
  const test = await TestMachine.of((options) => boot.make(options));
  test.log.push(...said);
  test.machine.start();
  return test;
}

/** Such a machine that runs `commands`. */
export function commanded(
  config: VmConfig,
  commands: string,
): Promise<TestMachine> {
  return startKept(config, { nonce: makeNonce(), exec: commands });
}
