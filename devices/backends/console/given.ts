/**
 * A console port whose other end is whoever the machine's owner gives it, one
 * after the other. To the guest somebody is always there: it is told by what
 * they say who it is.
 *
 * @module
 */
import type { ConsoleBackend, ConsoleLoop } from "./backend.ts";
import { SocketBackend } from "./socket.ts";

/** A backend on sockets that are given to it. */
export class GivenBackend implements ConsoleBackend {
  readonly connected = true;
  #socket = new SocketBackend();
  #loop: ConsoleLoop | undefined;
  #changed: () => void = () => {};

  attach(loop: ConsoleLoop, changed: () => void): void {
    this.#loop = loop;
    this.#changed = changed;
    this.#socket.attach(loop, changed);
  }

  /** The next one; who was there before is gone. It is closed in the end. */
  give(client: number): void {
    this.another();
    this.#socket.take(client);
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    return this.#socket.write(bytes, start, end);
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    return this.#socket.read(bytes, start, end);
  }

  another(): void {
    this.#socket.close();
    this.#socket = new SocketBackend();
    if (this.#loop) this.#socket.attach(this.#loop, this.#changed);
  }

  close(): void {
    this.#socket.close();
  }
}
