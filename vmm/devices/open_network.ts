/**
 * Opens where a network's frames go: TAPs, passt, and the file that gets a
 * copy. Loaded for a machine that has a network.
 *
 * @module
 */
import {
  type Capture,
  pcapHeader,
} from "../../devices/backends/net/pcap_file.ts";
import type { NetTarget } from "../../devices/virtio/net/make.ts";
import { NET_HEADER_SIZE } from "../../devices/virtio/net/spec.ts";
import { check, Errno, errnoName, SystemError } from "../../ffi/errno.ts";
import { VireoError } from "../../ffi/error.ts";
import { closeFd, Open, openFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { OwnName } from "../../ffi/own_name.ts";
import { openTap, type Tap } from "../../ffi/tap.ts";
import { connectUnix } from "../../ffi/unix_socket.ts";
import type { FilledInterface } from "./net.ts";
import { startPasst } from "./passt.ts";

/** What errors call the file of frames. */
const CAPTURE = "capture file";

/**
 * Opens what `network` names; `stack` closes it.
 *
 * @throws {VireoError} it can't be had
 */
export function openTarget(
  network: FilledInterface,
  stack: DisposableStack,
): NetTarget {
  const { host_dev_name, socket, plug, handler } = network;
  if (host_dev_name !== undefined) {
    return { taps: openTaps(host_dev_name, network, stack) };
  }
  if (handler !== undefined) return { handler };
  if (plug !== undefined) return { channel: stack.use(plug.plugIn()).channel };
  const fd = socket === undefined ? startPasst() : connect(socket);
  stack.defer(() => closeFd(fd));
  return { socket: fd };
}

function openTaps(
  name: string,
  { netns, queues }: FilledInterface,
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

/**
 * Opens the file that gets the frames, with its header. Never one that can
 * block: the device worker waits for nobody.
 *
 * @param undo removes it, if it was not there
 * @throws {VireoError} it can't be had
 */
export function openPcap(
  path: string,
  stack: DisposableStack,
  undo: DisposableStack,
): Capture {
  const fd = makePcap(path, undo) ?? openExisting(path);
  stack.defer(() => closeFd(fd));
  const header = pcapHeader();
  check(libc.write_u32(fd, header, header.length), `write "${path}"`);
  return { path, fd };
}

/** Undefined when it is there already. */
function makePcap(path: string, undo: DisposableStack): number | undefined {
  const flags = Open.WRONLY | Open.CREAT | Open.EXCL;
  const fd = unless(Errno.EEXIST, () => openFd(path, flags, CAPTURE, 0o644));
  if (fd !== undefined) undo.use(new OwnName(path));
  return fd;
}

function openExisting(path: string): number {
  const flags = Open.WRONLY | Open.CREAT | Open.TRUNC | Open.NONBLOCK;
  const fd = unless(Errno.ENXIO, () => openFd(path, flags, CAPTURE, 0o644));
  if (fd !== undefined) return fd;
  throw new VireoError(
    `${CAPTURE} "${path}": nobody reads this FIFO; start its reader first`,
  );
}

/** Undefined when `open` fails with `code`. */
function unless(code: number, open: () => number): number | undefined {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof SystemError && error.errno === code)) throw error;
  }
}
