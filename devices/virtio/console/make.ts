/**
 * Makes a console on the device worker.
 *
 * @module
 */
import {
  type ConsoleChannel,
  GuestEnd,
} from "../../backends/console/channel.ts";
import { GivenBackend } from "../../backends/console/given.ts";
import { SocketBackend } from "../../backends/console/socket.ts";
import type { FaultPlan } from "../../faults/rules.ts";
import type { OwnModule } from "../../own/load_class.ts";
import type { Maker } from "../maker.ts";
import { Console } from "./console.ts";
import type { PortOptions } from "./ports.ts";
import { AGENT_PORT } from "./spec.ts";

/** What a console's ports end in. */
export interface ConsoleData {
  /** The main console's channel, or module, when it is that. */
  main: ConsoleChannel | OwnModule | undefined;
  /** Named ports and their listening sockets. */
  ports: ({ name: string } & ({ listener: number } | OwnModule))[];
  /** There is a port for the guest's agent. */
  agent?: boolean;
  /** What happens to bytes; undefined: nothing ever does. */
  faults?: FaultPlan;
}

/** Not literals in `import()`: those are read at the start, needed or not. */
const FAULTY = new URL("./faulty.ts", import.meta.url).href;
const MAKE_MODULE = new URL("./make_module.ts", import.meta.url).href;

/** The device. */
export const make: Maker<ConsoleData> = async (
  { main, ports, agent, faults },
  context,
) => {
  const ofModule = async (name: string, of: OwnModule) => {
    const { makeModulePort }: typeof import("./make_module.ts") = await import(
      MAKE_MODULE
    );
    return await makeModulePort(name, of, context);
  };
  const options: PortOptions[] = await Promise.all(ports.map(async (port) => {
    const { name } = port;
    const backend = "listener" in port
      ? new SocketBackend(port.listener)
      : await ofModule(name, port);
    return { name, backend };
  }));
  if (main) {
    const backend = "module" in main
      ? await ofModule("console", main)
      : new GuestEnd(main, context.console);
    options.unshift({ name: "console", backend, console: true });
  }
  // The last: the numbers of the others are the same without it.
  if (agent) options.push({ name: AGENT_PORT, backend: new GivenBackend() });
  if (faults === undefined) return new Console(options);
  const { faultyConsole }: typeof import("./faulty.ts") = await import(FAULTY);
  return faultyConsole(options, faults, context);
};
