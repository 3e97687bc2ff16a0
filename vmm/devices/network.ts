/**
 * What a network interface of the configuration is made of on the host.
 *
 * @module
 */
import { pcapHeader } from "../../devices/backends/net/pcap.ts";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import { NET_HEADER_SIZE } from "../../devices/virtio/net/spec.ts";
import { check, Errno, errnoName, SystemError } from "../../ffi/errno.ts";
import { closeFd, Open, openFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { openTap, type Tap } from "../../ffi/tap.ts";
import { connectUnix } from "../../ffi/unix_socket.ts";
import { VireoError } from "../../ffi/error.ts";
import type { FilledNetworkInterface } from "../config/keys.ts";
import { macAddress } from "../config/mac.ts";
import { startPasst } from "./passt.ts";

/** What errors call the file of frames. */
const CAPTURE = "capture file";

/** Where an interface's frames go. */
export type NetEnd =
  /** The TAP's queues, one per pair of the device's. */
  | { taps: Tap[] }
  /** A connected stream socket. */
  | { socket: number }
  /** URL of a module with a function. */
  | { handler: string };

/** An interface for the device worker to make. */
export interface NetSpec {
  kind: "net";
  /** What the configuration calls it. */
  name: string;
  /** Where its frames go. */
  end: NetEnd;
  /** The guest's MAC address. */
  mac: Uint8Array;
  /** Limits of what the guest receives, and of what it sends. */
  limits: { rx?: RateLimits | undefined; tx?: RateLimits | undefined };
  /** A file that gets all frames. */
  pcap?: number;
}

/**
 * Opens what `network` names; `stack` closes it.
 *
 * @param undo removes what is only there for a machine that has run
 * @throws {VireoError} when it can't be had
 */
export function openNetwork(
  network: FilledNetworkInterface,
  stack: DisposableStack,
  undo: DisposableStack,
): NetSpec {
  const { iface_id: name, host_dev_name, guest_mac, pcap } = network;
  const mac = macAddress(guest_mac, host_dev_name ?? name);
  const end = openEnd(network, stack);
  return {
    kind: "net",
    name,
    end,
    mac,
    limits: { rx: network.rx_rate_limiter, tx: network.tx_rate_limiter },
    ...(pcap !== undefined && { pcap: openPcap(pcap, stack, undo) }),
  };
}

function openEnd(
  network: FilledNetworkInterface,
  stack: DisposableStack,
): NetEnd {
  const { host_dev_name, socket, handler } = network;
  if (host_dev_name !== undefined) {
    return { taps: openTaps(host_dev_name, network, stack) };
  }
  if (handler !== undefined) return { handler };
  const fd = socket === undefined ? startPasst() : connect(socket);
  stack.defer(() => closeFd(fd));
  return { socket: fd };
}

function openTaps(
  name: string,
  { netns, queues }: FilledNetworkInterface,
  stack: DisposableStack,
): Tap[] {
  const headerSize = NET_HEADER_SIZE;
  return Array.from({ length: queues }, () => {
    const tap = openTap({ name, netns, headerSize, multiQueue: queues > 1 });
    stack.defer(() => closeFd(tap.fd));
    return tap;
  });
}

function connect(path: string): number {
  const fd = connectUnix(path);
  if (fd >= 0) return fd;
  throw new VireoError(
    `network socket "${path}": ${errnoName(-fd)}; nobody listens there`,
  );
}

function openPcap(
  path: string,
  stack: DisposableStack,
  undo: DisposableStack,
): number {
  const fd = makePcap(path, undo) ??
    openFd(path, Open.WRONLY | Open.CREAT | Open.TRUNC, CAPTURE, 0o644);
  stack.defer(() => closeFd(fd));
  const header = pcapHeader();
  check(libc.write_u32(fd, header, header.length), `write "${path}"`);
  return fd;
}

/** Undefined when it is there already. */
function makePcap(path: string, undo: DisposableStack): number | undefined {
  try {
    const flags = Open.WRONLY | Open.CREAT | Open.EXCL;
    const fd = openFd(path, flags, CAPTURE, 0o644);
    undo.defer(() => Deno.removeSync(path));
    return fd;
  } catch (error) {
    const there = error instanceof SystemError && error.errno === Errno.EEXIST;
    if (!there) throw error;
  }
}
