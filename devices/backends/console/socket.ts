/**
 * A console port that ends in a Unix socket, to which one client at a time may
 * connect.
 *
 * @module
 */
import { Events } from "../../../ffi/epoll.ts";
import { Errno, errno } from "../../../ffi/errno.ts";
import { closeFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { acceptUnix } from "../../../ffi/unix_socket.ts";
import type { ConsoleBackend, ConsoleLoop } from "./backend.ts";

const MSG_PEEK = 2;
/** Bytes that one system call moves. */
const STAGE_SIZE = 16 * 1024;

/** A backend on a listening socket, which stays its owner's. */
export class SocketBackend implements ConsoleBackend {
  readonly #listener: number | undefined;
  readonly #stage = new Uint8Array(STAGE_SIZE);
  #client = -1;
  #deaf = false; // the client takes no more; what it sent may still be here
  #loop!: ConsoleLoop;
  #changed: () => void = () => {};

  /** Clients connect to `listener`, which doesn't block, or are given. */
  constructor(listener?: number) {
    this.#listener = listener;
  }

  /** A client is there. */
  get connected(): boolean {
    return this.#client >= 0;
  }

  attach(loop: ConsoleLoop, changed: () => void): void {
    this.#loop = loop;
    this.#changed = changed;
    this.#watchListener();
  }

  /** Behind a client's end everything is taken, and lost. */
  write(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.connected && !this.#deaf) {
      const length = Math.min(end - at, STAGE_SIZE);
      for (let i = 0; i < length; i++) this.#stage[i] = bytes[at + i]!;
      const sent = libc.write_u32(this.#client, this.#stage, length);
      const code = errno();
      if (sent > 0) at += sent;
      else if (code === Errno.EAGAIN) return at - start;
      else if (code !== Errno.EINTR) this.#deaf = true;
    }
    return end - start; // to nobody: lost
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.connected) {
      const length = Math.min(end - at, STAGE_SIZE);
      const got = libc.read_u32(this.#client, this.#stage, length);
      const code = errno();
      if (got > 0) {
        for (let i = 0; i < got; i++) bytes[at + i] = this.#stage[i]!;
        at += got; // up to EAGAIN: nothing else tells of what comes next
      } else if (got < 0 && code === Errno.EAGAIN) {
        break;
      } else if (got === 0 || code !== Errno.EINTR) {
        this.#hangUp();
      }
    }
    return at - start;
  }

  /** The listening socket stays open: its owner closes it. */
  close(): void {
    if (this.#listener !== undefined) this.#loop?.unwatch(this.#listener);
    this.#dropClient();
  }

  #accept(): void {
    if (this.connected || this.#listener === undefined) return;
    const client = acceptUnix(this.#listener);
    if (client >= 0) this.take(client);
  }

  /** This socket, which doesn't block, is the client from now on. */
  take(client: number): void {
    this.#dropClient();
    this.#client = client;
    const onReady = (events: number) => {
      if (events & (Events.HUP | Events.ERR)) this.#checkEnd();
      this.#changed();
    };
    this.#loop.watch(client, { onReady }, Events.IN | Events.OUT | Events.ET);
    this.#changed();
  }

  /** A guest that doesn't read does not see an end: this does. */
  #checkEnd(): void {
    if (!this.connected) return;
    const left = libc.recv(this.#client, this.#stage, 1, MSG_PEEK);
    if (left <= 0) this.#hangUp();
  }

  /** The client has gone. If another waits already, that is an edge anew. */
  #hangUp(): void {
    this.#dropClient();
    if (this.#listener === undefined) return;
    this.#loop.unwatch(this.#listener);
    this.#watchListener();
  }

  #watchListener(): void {
    if (this.#listener === undefined) return;
    // Edges: a second client waits until the first one has gone.
    const onReady = () => this.#accept();
    this.#loop.watch(this.#listener, { onReady }, Events.IN | Events.ET);
  }

  #dropClient(): void {
    if (this.#client < 0) return;
    this.#loop.unwatch(this.#client);
    closeFd(this.#client);
    this.#client = -1;
    this.#deaf = false;
  }
}
