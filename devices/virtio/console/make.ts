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
import type { OwnModule } from "../../own/load_class.ts";
import type { Maker } from "../maker.ts";
import { Console } from "./console.ts";
import type { PortOptions } from "./ports.ts";
import { AGENT_PORT } from "./spec.ts";

/** What a console's ports end in. */
export interface ConsoleData {
  /** The main console's channel, when it is that. */
  main: ConsoleChannel | undefined;
  /** Named ports and their listening sockets. */
  ports: ({ name: string } & ({ listener: number } | OwnModule))[];
  /** There is a port for the guest's agent. */
  agent?: boolean;
}

/** The device. */
export const make: Maker<ConsoleData> = async (
  { main, ports, agent },
  context,
) => {
  const options: PortOptions[] = await Promise.all(ports.map(async (port) => {
    const { name } = port;
    if ("listener" in port) {
      return { name, backend: new SocketBackend(port.listener) };
    }
    const { makeModulePort } = await import("./make_module.ts");
    return { name, backend: await makeModulePort(name, port, context) };
  }));
  if (main) {
    const backend = new GuestEnd(main, context.console);
    options.unshift({ name: "console", backend, console: true });
  }
  // The last: the numbers of the others are the same without it.
  if (agent) options.push({ name: AGENT_PORT, backend: new GivenBackend() });
  return new Console(options);
};
