/**
 * The control socket: who may connect, and how much of this process a client
 * can have, whatever it sends or doesn't read.
 *
 * Each connection is served a request at a time, by this isolate. Waiting is
 * done in threads of Deno's, which keep no process alive.
 *
 * @module
 */
import { Errno, errno } from "../../ffi/errno.ts";
import { closeFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { Poll } from "../../ffi/poll.ts";
import { ready } from "../../ffi/ready.ts";
import {
  acceptUnix,
  peerOf,
  Shut,
  shutdownSocket,
  UnixListener,
} from "../../ffi/unix_socket.ts";
import { type Asker, Lines, refusal } from "./requests.ts";

/** Clients at once; one more takes the place of the idlest. */
const CLIENTS_MAX = 8;
/** How long to wait for a descriptor when there is none, in milliseconds. */
const RETRY = 200;
const ROOT = 0;

/** The answer to a line, itself a line without its end. */
export type Answer = (line: Uint8Array, asker: Asker) => Promise<string>;

const encoder = new TextEncoder();

/** A listening socket, and who has connected to it. */
export class ControlServer implements Disposable {
  readonly #listener: UnixListener;
  readonly #answer: Answer;
  readonly #clients = new Set<Client>();
  #closed = false;

  /**
   * Makes the socket `path`, for its owner only.
   *
   * @throws {VireoError} it can't be made
   */
  constructor(path: string, answer: Answer) {
    this.#answer = answer;
    using undo = new DisposableStack(); // unless clients may come
    this.#listener = undo.use(new UnixListener(path, "control socket"));
    Deno.chmodSync(path, 0o600);
    undo.move();
    this.#accept();
  }

  /** Removes the name, and ends all connections. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.name[Symbol.dispose]();
    shutdownSocket(this.#listener.fd, Shut.READ); // wakes who waits for it
    for (const client of this.#clients) client.end();
  }

  async #accept(): Promise<void> {
    const { fd } = this.#listener;
    while (!this.#closed) {
      await ready(fd, Poll.IN);
      if (this.#closed) break;
      const client = acceptUnix(fd);
      if (client >= 0) void this.#welcome(client);
      else if (client !== -Errno.EAGAIN) await wait(RETRY);
    }
    this.#listener[Symbol.dispose]();
  }

  async #welcome(fd: number): Promise<void> {
    const client = new Client(fd, this.#answer);
    const { uid } = peerOf(fd);
    if (uid !== Deno.uid() && uid !== ROOT) {
      return client.refuse(`this machine is not user ${uid}'s`);
    }
    if (this.#clients.size >= CLIENTS_MAX) {
      // The longest there of those for whom nothing is being done.
      const idle = [...this.#clients].find(({ busy }) => !busy);
      if (idle === undefined) return client.refuse("too many requests");
      this.#clients.delete(idle);
      idle.end();
    }
    this.#clients.add(client);
    await client.serve();
    this.#clients.delete(client);
  }
}

/** A connection. Its descriptor is closed when nobody waits for it. */
class Client implements Asker {
  /** A request of its is being carried out. */
  busy = false;
  readonly #fd: number;
  readonly #answer: Answer;
  readonly #lines = new Lines();
  #ended = false;
  #handOver: ((fd: number) => void) | undefined;

  constructor(fd: number, answer: Answer) {
    this.#fd = fd;
    this.#answer = answer;
  }

  /** Says why, and closes it. */
  refuse(why: string): void {
    const bytes = encoder.encode(`${refusal(why)}\n`);
    libc.write_u32(this.#fd, bytes, bytes.length);
    // What was sent and isn't read would take the answer back (ECONNRESET).
    const { room } = this.#lines;
    libc.read_u32(this.#fd, room, room.length);
    closeFd(this.#fd);
  }

  handOver(to: (fd: number) => void): void {
    this.#handOver = to;
  }

  /** From now on, nothing more comes of it. */
  end(): void {
    this.#ended = true;
    shutdownSocket(this.#fd, Shut.READ);
    shutdownSocket(this.#fd, Shut.WRITE);
  }

  /** Answers until either side ends it. */
  async serve(): Promise<void> {
    try {
      while (!this.#ended && await this.#read()) await this.#answerAll();
    } finally {
      if (this.#handOver) this.#handOver(this.#fd);
      else closeFd(this.#fd);
    }
  }

  /** Waits for more bytes; false: none come any more. */
  async #read(): Promise<boolean> {
    await ready(this.#fd, Poll.IN);
    const { room } = this.#lines;
    const count = libc.read_u32(this.#fd, room, room.length);
    if (count > 0) this.#lines.took(count);
    return count > 0 || count < 0 && isPassing(errno());
  }

  async #answerAll(): Promise<void> {
    while (!this.#ended) {
      let line: Uint8Array | undefined;
      try {
        line = this.#lines.next();
      } catch (error) {
        await this.#write(refusal((error as Error).message));
        return this.end();
      }
      if (line === undefined) return;
      this.busy = true;
      let answer = await this.#answer(line, this);
      this.busy = false;
      if (this.#handOver && this.#lines.more) {
        this.#handOver = undefined;
        answer = refusal("nothing may come before the answer to it");
      }
      await this.#write(answer);
      if (this.#handOver) this.#ended = true;
    }
  }

  /** As fast as the client reads; meanwhile nothing of its is looked at. */
  async #write(answer: string): Promise<void> {
    const bytes = encoder.encode(`${answer}\n`);
    for (let done = 0; done < bytes.length && !this.#ended;) {
      const rest = bytes.subarray(done);
      const count = libc.write_u32(this.#fd, rest, rest.length);
      if (count >= 0) done += count;
      else if (isPassing(errno())) await ready(this.#fd, Poll.OUT);
      else this.#ended = true;
    }
  }
}

function isPassing(code: number): boolean {
  return code === Errno.EAGAIN || code === Errno.EINTR;
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((done) => Deno.unrefTimer(setTimeout(done, milliseconds)));
}
