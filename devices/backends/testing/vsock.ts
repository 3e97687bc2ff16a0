/**
 * For tests: a program on the host, without blocking.
 *
 * @module
 */
import { Errno, errno, SystemError } from "../../../ffi/errno.ts";
import { closeFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import {
  acceptUnix,
  connectUnix,
  Shut,
  shutdownSocket,
  UnixListener,
} from "../../../ffi/unix_socket.ts";

/** What {@linkcode HostProgram.read} says besides bytes. */
export type ReadEnd = "nothing yet" | "end of file" | "reset";

/** A program with one connected socket. */
export class HostProgram implements Disposable {
  readonly #fd: number;
  readonly #room = new Uint8Array(1 << 16);
  #closed = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Connects to `path`. */
  static connect(path: string): HostProgram {
    const fd = connectUnix(path);
    if (fd < 0) throw new SystemError(`connect to ${path}`, -fd);
    return new HostProgram(fd);
  }

  /** The next client of a listening socket, or undefined. */
  static accept(listener: number): HostProgram | undefined {
    const fd = acceptUnix(listener);
    return fd < 0 ? undefined : new HostProgram(fd);
  }

  /** Writes bytes or text; how many bytes were taken. */
  write(data: Uint8Array | string): number {
    const bytes = typeof data === "string"
      ? new TextEncoder().encode(data)
      : data;
    const copy = new Uint8Array(bytes); // an ArrayBuffer of its own
    const count = libc.write_u32(this.#fd, copy, copy.length);
    if (count >= 0) return count;
    const code = errno();
    if (code === Errno.EAGAIN) return 0;
    throw new SystemError("write", code);
  }

  /** Reads what is there. */
  read(most: number = this.#room.length): Uint8Array | ReadEnd {
    const count = libc.read_u32(this.#fd, this.#room, most);
    if (count > 0) return this.#room.slice(0, count);
    if (count === 0) return "end of file";
    return errno() === Errno.EAGAIN ? "nothing yet" : "reset";
  }

  /** Reads what is there as text. */
  readText(): string {
    const got = this.read();
    return typeof got === "string" ? `[${got}]` : new TextDecoder().decode(got);
  }

  /** Writes no more. */
  endWriting(): void {
    shutdownSocket(this.#fd, Shut.WRITE);
  }

  /** Reads no more. */
  endReading(): void {
    shutdownSocket(this.#fd, Shut.READ);
  }

  /** Closes the socket. */
  close(): void {
    if (!this.#closed) closeFd(this.#fd);
    this.#closed = true;
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A program that listens on a socket. */
export class HostServer implements Disposable {
  readonly #listener: UnixListener;

  /** Makes the socket. */
  constructor(path: string) {
    this.#listener = new UnixListener(path, "test");
  }

  /** The next client, or undefined. */
  accept(): HostProgram | undefined {
    return HostProgram.accept(this.#listener.fd);
  }

  /** Closes the socket and removes it. */
  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }
}
