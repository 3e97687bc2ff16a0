/**
 * Serves a snapshot's memory page by page, to Vireo or to Firecracker, and says
 * which pages are touched, in which order:
 *
 *     deno run -A examples/page_handler.ts saved pages.sock
 *     vireo restore saved --pages socket=pages.sock
 *
 * It speaks Firecracker's protocol: a client connects, and sends a list of its
 * memory's regions and a userfaultfd. It prints a line for each page.
 */
import { Epoll } from "../ffi/epoll.ts";
import { receiveWithFd } from "../ffi/pass_fd.ts";
import { Poll, pollFd } from "../ffi/poll.ts";
import { acceptUnix, UnixListener } from "../ffi/unix_socket.ts";
import { FaultAnswerer } from "../ffi/memory/userfaultfd.ts";
import type { RegionMessage } from "../mod.ts";

const PAGE = 4096;
/** How often it looks whether its client is still there, in milliseconds. */
const LOOK_INTERVAL = 500;

const [folder, path] = Deno.args;
if (!folder || !path) {
  console.error("usage: page_handler.ts FOLDER SOCKET");
  Deno.exit(1);
}
const state = JSON.parse(Deno.readTextFileSync(`${folder}/state.json`));
const memory = Deno.openSync(`${folder}/${state.memory.file}`);

using listener = new UnixListener(path, "pages");
console.log(`listening on ${path}`);
await pollFd(listener.fd, Poll.IN);
const client = acceptUnix(listener.fd);
await pollFd(client, Poll.IN);
const room = new Uint8Array(64 * 1024);
const { size, fd } = receiveWithFd(client, room);
if (fd === undefined) throw new Error("the client has sent no userfaultfd");
const regions: RegionMessage[] = JSON.parse(
  new TextDecoder().decode(room.subarray(0, size)),
);

const answerer = new FaultAnswerer(fd);
const removed = new Set<number>();
const page = new Uint8Array(PAGE);
const encoder = new TextEncoder();
const epoll = new Epoll();
epoll.add(fd, 0);
epoll.add(client, 1);
serving: for (;;) {
  const count = epoll.wait(LOOK_INTERVAL);
  for (let i = 0; i < count; i++) {
    if (epoll.token(i) === 1) break serving; // the client has gone
  }
  for (const event of answerer.events()) {
    if (event.type === "remove") {
      for (let at = event.from; at < event.to; at += PAGE) removed.add(at);
    } else {
      answer(event.address - event.address % PAGE);
    }
  }
}

function answer(address: number): void {
  const region = regions.find(({ base_host_virt_addr: base, size }) =>
    address >= base && address < base + size
  )!;
  const offset = region.offset + address - region.base_host_virt_addr;
  Deno.stdout.writeSync(encoder.encode(`page ${offset / PAGE}\n`));
  if (removed.has(address)) return void answerer.zero(address, PAGE);
  memory.seekSync(offset, Deno.SeekMode.Start);
  memory.readSync(page);
  while (!answerer.copy(address, page));
}
