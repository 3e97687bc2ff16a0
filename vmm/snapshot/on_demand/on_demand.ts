/**
 * RAM whose pages come when they are first touched: from a program that speaks
 * Firecracker's userfaultfd protocol, or from a function in a thread of its own.
 *
 * The protocol: one message over a Unix socket, a list of the RAM's regions in
 * JSON with the userfaultfd beside it. From then on the other program answers
 * the faults itself, and keeps the socket open as long as it lives.
 *
 * @module
 */
import { errnoName, VireoError } from "../../../ffi/errno.ts";
import { closeFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { mapEmpty } from "../../../ffi/memory/mmap.ts";
import { sendWithFd } from "../../../ffi/pass_fd.ts";
import { Poll, pollFd } from "../../../ffi/poll.ts";
import { connectUnix, Shut, shutdownSocket } from "../../../ffi/unix_socket.ts";
import {
  createUserFaultFd,
  registerMissing,
  unregister,
} from "../../../ffi/memory/userfaultfd.ts";
import type { RegionHandle } from "../../../guest/memory.ts";
import type { PageWorkerMessage, PageWorkerStart } from "./page_worker.ts";

/** Where pages come from. */
export type PageSource =
  /** A Unix socket on which a program listens. */
  | { socket: string }
  /** A module whose default export is a {@linkcode PageFunction}. */
  | { module: string };

/**
 * Gives `length` bytes of RAM from `offset` on, or undefined for zeros. RAM
 * above the MMIO hole comes after what is below it.
 */
export type PageFunction = (
  offset: number,
  length: number,
) =>
  | Uint8Array<ArrayBuffer>
  | undefined
  | Promise<Uint8Array<ArrayBuffer> | undefined>;

/** A region, in Firecracker's words. */
export interface RegionMessage {
  /** Its first byte in the address space of the machine's process. */
  base_host_virt_addr: number;
  /** Its bytes. */
  size: number;
  /** Where it is in the RAM, as that is in a file. */
  offset: number;
  /** Bytes of a page. */
  page_size: number;
  /** The same; Firecracker's name is wrong, and stays for old handlers. */
  page_size_kib: number;
}

const PAGE = 4096;
const PAGE_WORKER = new URL("./page_worker.ts", import.meta.url);

/** What is to be known of the machine. */
export interface ServedMachine {
  /** Its RAM, which nobody has touched, or whose pages don't matter. */
  regions: readonly RegionHandle[];
  /** Ends it: pages don't come any more. */
  fail(message: string): void;
  /** It has begun to end: no thread may wait for a page any more. */
  ending: Promise<unknown>;
  /** Calls `release` when its threads have stopped. */
  defer(release: () => Promise<void>): void;
}

/**
 * Lets a machine's RAM come from `source`, until its end.
 *
 * @throws {VireoError} nobody listens there, or the module can't be loaded
 */
export async function serveOnDemand(
  machine: ServedMachine,
  source: PageSource,
): Promise<void> {
  const { regions } = machine;
  using undo = new DisposableStack(); // unless pages come
  const uffd = undo.adopt(createUserFaultFd(), closeFd);
  const end = () => {
    for (const { hostAddress, size } of regions) {
      unregister(uffd, hostAddress, size);
    }
  };
  const answer = "socket" in source
    ? connect(source.socket, undo)
    : await startWorker(source.module, uffd, machine, undo);
  for (const region of regions) {
    mapEmpty(region.hostAddress, region.size);
    registerMissing(uffd, region.hostAddress, region.size);
  }
  const answered = answer(uffd, machine);
  machine.ending.then(end);
  const kept = undo.move();
  machine.defer(async () => {
    end(); // the handler has the descriptor, too: its end here wakes nobody
    await answered; // or its number, soon another's, were looked at
    kept.dispose();
  });
}

/** The regions, one after the other in the RAM. */
export function regionMessages(
  regions: readonly RegionHandle[],
): RegionMessage[] {
  let offset = 0;
  return regions.map(({ hostAddress, size }) => {
    const message = {
      base_host_virt_addr: hostAddress,
      size,
      offset,
      page_size: PAGE,
      page_size_kib: PAGE,
    };
    offset += size;
    return message;
  });
}

/**
 * Has faults answered, once the memory is registered. What it returns resolves
 * after the machine's end, when nobody waits for a descriptor any more.
 */
type Begin = (uffd: number, machine: ServedMachine) => Promise<void>;

function connect(path: string, undo: DisposableStack): Begin {
  const socket = connectUnix(path);
  if (socket < 0) {
    throw new VireoError(
      `memory from "${path}": ${errnoName(-socket)}: no handler listens here`,
    );
  }
  undo.adopt(socket, closeFd);
  return (uffd, machine) => {
    const text = JSON.stringify(regionMessages(machine.regions));
    sendWithFd(socket, new TextEncoder().encode(text), uffd);
    let over = false;
    machine.ending.then(() => {
      over = true;
      shutdownSocket(socket, Shut.READ);
    });
    return closed(socket).then(() => {
      if (!over) machine.fail(`memory from "${path}": the handler has gone`);
    });
  };
}

/** Waits until the other end closes; what it says means nothing. */
async function closed(socket: number): Promise<void> {
  const heard = new Uint8Array(64);
  for (;;) {
    await pollFd(socket, Poll.IN);
    const count = libc.read_u32(socket, heard, heard.length);
    if (count === 0 || count < 0 && !await stillOpen()) return;
  }
}

/** After a signal, or with nothing there, it is looked at again. */
function stillOpen(): Promise<boolean> {
  return new Promise((done) => setTimeout(() => done(true), 10));
}

async function startWorker(
  module: string,
  uffd: number,
  machine: ServedMachine,
  undo: DisposableStack,
): Promise<Begin> {
  const worker = new Worker(PAGE_WORKER, { type: "module" });
  undo.defer(() => worker.terminate());
  const ready = Promise.withResolvers<void>();
  const failed = (message: string) => {
    const text = `memory from "${module}": ${message}`;
    ready.reject(new VireoError(text));
    machine.fail(text);
  };
  worker.onmessage = ({ data }: MessageEvent<PageWorkerMessage>) => {
    if (data.type === "ready") ready.resolve();
    else failed(data.message);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    failed(event.message);
  };
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const regions = regionMessages(machine.regions);
  const start: PageWorkerStart = { module, uffd, regions, stop };
  worker.postMessage(start);
  machine.ending.then(() => Atomics.store(stop, 0, 1));
  await ready.promise;
  return () => Promise.resolve();
}
