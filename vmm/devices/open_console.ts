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
import { UnixListener } from "../../ffi/unix_socket.ts";
import type { FilledConsole } from "./console.ts";
import type { Opened } from "./kind.ts";

/**
 * Makes its channel and its sockets; `stack` closes them.
 *
 * @throws {VireoError} a socket can't be had
 */
export function openConsole(
  { main, ports, agent }: FilledConsole,
  stack: DisposableStack,
): Opened<ConsoleData> {
  const channel = main ? openChannel(stack) : undefined;
  const listeners = ports.map(({ name, path }) =>
    stack.use(new UnixListener(path, `port ${name}`))
  );
  const listening = ports.map(({ name }, index) => {
    return { name, listener: listeners[index]!.fd };
  });
  return {
    name: "console",
    data: { main: channel, ports: listening, ...(agent && { agent }) },
    names: listeners.map(({ name }) => name),
    ...(channel && { console: new HostEnd(channel) }),
  };
}

function openChannel(stack: DisposableStack): ConsoleChannel {
  return {
    shared: createConsoleChannel(),
    eventFd: stack.use(new EventFd()).fd,
  };
}
