/**
 * The virtio console that a configuration asks for: what its ports end in.
 *
 * @module
 */
import {
  type ConsoleChannel,
  createConsoleChannel,
  GuestEnd,
  type GuestEndHooks,
} from "../../devices/backends/console/channel.ts";
import { SocketBackend } from "../../devices/backends/console/socket.ts";
import { Console } from "../../devices/virtio/console/console.ts";
import type { PortOptions } from "../../devices/virtio/console/ports.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { closeFd } from "../../ffi/file.ts";
import { listenUnix } from "../../ffi/unix_socket.ts";
import type { FilledConsole } from "../config/keys.ts";

/** A console's host ends, for the device worker. */
export interface ConsoleEnds {
  /** The main console's, when it is that. */
  main: ConsoleChannel | undefined;
  /** Named ports and their listening sockets. */
  ports: { name: string; listener: number }[];
}

/**
 * Makes the sockets and the channel; `stack` closes and removes them.
 *
 * @throws {VireoError} a path that can't be
 */
export function openConsole(
  { main, ports }: FilledConsole,
  stack: DisposableStack,
): ConsoleEnds {
  return {
    main: main
      ? {
        shared: createConsoleChannel(),
        eventFd: stack.use(new EventFd()).fd,
      }
      : undefined,
    ports: ports.map(({ name, path }) => {
      const listener = listenUnix(path, `port ${name}`);
      stack.defer(() => {
        closeFd(listener);
        removeIfThere(path);
      });
      return { name, listener };
    }),
  };
}

/** The device, on the device worker. */
export function makeConsole(
  { main, ports }: ConsoleEnds,
  hooks: GuestEndHooks,
): Console {
  const options: PortOptions[] = ports.map(({ name, listener }) => ({
    name,
    backend: new SocketBackend(listener),
  }));
  if (main) {
    const backend = new GuestEnd(main, hooks);
    options.unshift({ name: "console", backend, console: true });
  }
  return new Console(options);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
