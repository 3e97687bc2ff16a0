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
import {
  Console,
  MAX_PORTS,
  PORT_NAME_MAX,
} from "../../devices/virtio/console/console.ts";
import type { PortOptions } from "../../devices/virtio/console/ports.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { closeFd } from "../../ffi/file.ts";
import { listenUnix } from "../../ffi/unix_socket.ts";
import { VireoError } from "../../ffi/error.ts";
import type { VirtioConsole } from "../config/types.ts";

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
 * @throws {VireoError} a name or a path that can't be
 */
export function openConsole(
  config: VirtioConsole,
  stack: DisposableStack,
): ConsoleEnds {
  const { main = false, ports = [] } = config;
  checkPorts(ports.map(({ name }) => name), main ? MAX_PORTS - 1 : MAX_PORTS);
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

function checkPorts(names: readonly string[], most: number): void {
  if (names.length > most) {
    throw new VireoError(`console: ${names.length} ports; at most ${most} fit`);
  }
  names.forEach((name, index) => {
    const bytes = new TextEncoder().encode(name).length;
    if (bytes < 1 || bytes > PORT_NAME_MAX || /[/\0]/.test(name)) {
      throw new VireoError(
        `port "${name}": a name has 1 to ${PORT_NAME_MAX} bytes, and no slash`,
      );
    }
    if (names.indexOf(name) < index) {
      throw new VireoError(`port "${name}": there are two of that name`);
    }
  });
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
