/**
 * Opens what a virtio console ends in: the main isolate, and Unix sockets.
 * Loaded for a machine that has one.
 *
 * @module
 */
import {
  type ConsoleChannel,
  createConsoleChannel,
  HostEnd,
} from "../../devices/backends/console/channel.ts";
import type { ConsoleData } from "../../devices/virtio/console/make.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import type { OwnName } from "../../ffi/own_name.ts";
import { UnixListener } from "../../ffi/unix_socket.ts";
import type { FilledConsole } from "./console.ts";
import type { Opened } from "./kind.ts";

/**
 * Makes its channel and its sockets; `stack` closes them.
 *
 * @throws {VireoError} a socket can't be had
 */
export function openConsole(
  { main, ports, agent, faults, backend: module, backend_options }:
    FilledConsole,
  stack: DisposableStack,
): Opened<ConsoleData> {
  const channel = main && !module ? openChannel(stack) : undefined;
  const names: OwnName[] = [];
  const ends = ports.map(({ name, path, backend, backend_options }) => {
    if (backend !== undefined) {
      return { name, module: backend, options: backend_options };
    }
    const listener = stack.use(new UnixListener(path!, `port ${name}`));
    names.push(listener.name);
    return { name, listener: listener.fd };
  });
  const own = module || ports.some(({ backend }) => backend !== undefined);
  return {
    name: "console",
    data: {
      main: module ? { module, options: backend_options } : channel,
      ports: ends,
      ...(agent && { agent }),
      ...(faults && { faults }),
    },
    names,
    ...(own && { own: true }),
    ...(channel && { console: new HostEnd(channel) }),
  };
}

function openChannel(stack: DisposableStack): ConsoleChannel {
  return {
    shared: createConsoleChannel(),
    eventFd: stack.use(new EventFd()).fd,
  };
}
