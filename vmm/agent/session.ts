/**
 * A conversation in frames, over a socket: commands side by side, each on a
 * channel. The other end is the guest's agent, or who relays to it. Nothing that
 * it says or leaves out does more than end the conversation.
 *
 * @module
 */
import { Errno, errno } from "../../ffi/errno.ts";
import { VireoError } from "../../ffi/error.ts";
import { closeFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { Poll } from "../../ffi/poll.ts";
import { ready } from "../../ffi/ready.ts";
import { Shut, shutdownSocket } from "../../ffi/unix_socket.ts";
import {
  CHANNELS,
  encodeFrame,
  encodeHello,
  type Frame,
  FrameReader,
  Nonsense,
} from "./protocol.ts";

/** Bytes that one system call moves. */
const STAGE_SIZE = 16 * 1024;

/** Who has a channel. */
export interface ChannelUser {
  /** A frame of it; true: it was the last. @throws {VireoError} nonsense */
  take(frame: Frame): boolean;
  /** No more comes, for this reason. */
  lost(error: VireoError): void;
}

/** A conversation. */
export class Session {
  /** Resolves when the agent has answered; rejects when it is over before. */
  readonly greeted: Promise<void>;
  readonly #fd: number;
  readonly #greeting = Promise.withResolvers<void>();
  readonly #users = new Map<number, ChannelUser>();
  readonly #waiting: (() => void)[] = []; // for a channel
  readonly #reader: FrameReader;
  readonly #stage = new Uint8Array(STAGE_SIZE);
  #writing: Promise<void>;
  #over: VireoError | undefined;
  #why = "the machine has ended, or was put back";

  /**
   * Over `fd`, which is its own from now on, and doesn't block.
   *
   * @param number of a session with an agent, which has to answer to it
   */
  constructor(fd: number, number?: Uint8Array) {
    this.#fd = fd;
    this.#reader = new FrameReader(number);
    this.greeted = this.#greeting.promise;
    this.greeted.catch(() => {});
    this.#writing = number
      ? this.#write(encodeHello(number))
      : Promise.resolve();
    void this.#read();
  }

  /** Why it is over; undefined: it is not. */
  get over(): VireoError | undefined {
    return this.#over;
  }

  /**
   * A channel for `user`, once there is one.
   *
   * @throws {VireoError} the session is over
   */
  async open(user: ChannelUser, signal?: AbortSignal): Promise<number> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#over) throw this.#over;
      for (let channel = 0; channel < CHANNELS; channel++) {
        if (this.#users.has(channel)) continue;
        this.#users.set(channel, user);
        return channel;
      }
      const free = Promise.withResolvers<void>();
      this.#waiting.push(free.resolve);
      signal?.addEventListener("abort", () => free.resolve(), { once: true });
      await free.promise;
    }
  }

  /** Says something; resolves when it is on its way. */
  send(type: number, channel: number, bytes?: Uint8Array): Promise<void> {
    const frame = encodeFrame(type, channel, bytes);
    return this.#writing = this.#writing.then(() => this.#write(frame));
  }

  /** Ends it. */
  close(why: string): void {
    if (this.#over) return;
    this.#why = why;
    for (const how of [Shut.READ, Shut.WRITE]) shutdownSocket(this.#fd, how);
    this.#lose(new VireoError(why));
  }

  async #read(): Promise<void> {
    try {
      while (!this.#over) {
        await ready(this.#fd, Poll.IN);
        const count = libc.read_u32(this.#fd, this.#stage, STAGE_SIZE);
        if (count === 0) break;
        if (count < 0 && isPassing(errno())) continue;
        if (count < 0) break;
        this.#take(this.#stage.subarray(0, count));
      }
    } catch (error) {
      if (!(error instanceof VireoError)) throw error;
      this.#why = error.message;
    }
    this.#lose(new VireoError(this.#why));
    await this.#writing;
    closeFd(this.#fd);
  }

  #take(bytes: Uint8Array): void {
    for (const frame of this.#reader.take(bytes)) {
      const user = this.#users.get(frame.channel);
      if (user === undefined) {
        throw new Nonsense("its agent speaks of a command that there isn't");
      }
      if (!user.take(frame)) continue;
      this.#users.delete(frame.channel);
      this.#waiting.shift()?.();
    }
    if (this.#reader.greeted) this.#greeting.resolve();
  }

  async #write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let done = 0; done < bytes.length && !this.#over;) {
      const rest = bytes.subarray(done);
      const count = libc.write_u32(this.#fd, rest, rest.length);
      if (count >= 0) done += count;
      else if (isPassing(errno())) await ready(this.#fd, Poll.OUT);
      else return; // the reader sees its end
    }
  }

  #lose(error: VireoError): void {
    if (this.#over) return;
    this.#over = error;
    this.#greeting.reject(error);
    const users = [...this.#users.values()];
    this.#users.clear();
    for (const user of users) user.lost(error);
    for (const go of this.#waiting.splice(0)) go();
    // A write that waits for room would wait for ever.
    shutdownSocket(this.#fd, Shut.READ);
    shutdownSocket(this.#fd, Shut.WRITE);
  }
}

function isPassing(code: number): boolean {
  return code === Errno.EAGAIN || code === Errno.EINTR;
}
