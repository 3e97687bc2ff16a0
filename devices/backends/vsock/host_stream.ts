/**
 * One host program's connection, and what is said on it before the stream
 * begins. It knows nothing of virtio.
 *
 * @module
 */
import { Errno, errno } from "../../../ffi/errno.ts";
import { closeFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { Shut, shutdownSocket } from "../../../ffi/unix_socket.ts";

/** The longest first line: `CONNECT 4294967295\n`. */
const LINE_MAX = 19;
const NEWLINE = 10;

/** {@linkcode HostStream.readPort}: the line isn't complete, or is wrong. */
export const NO_PORT_YET = -1, NO_PORT = -2;

/** A connected socket. Reading and writing allocate nothing. */
export class HostStream {
  /** The descriptor, to be watched. */
  readonly fd: number;
  /** Whoever waits for `fd` is to look again, as if it had these events. */
  again: (events: number) => void = () => {};
  #line = "";

  /** On an open socket, which is closed with this. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Reads on in the line `CONNECT <port>` and not beyond: what follows is for
   * the guest.
   *
   * @returns the port, {@linkcode NO_PORT_YET} or {@linkcode NO_PORT}
   */
  readPort(): number {
    const byte = new Uint8Array(1);
    while (this.#line.length < LINE_MAX) {
      const count = libc.read_u32(this.fd, byte, 1);
      if (count < 0 && errno() === Errno.EAGAIN) return NO_PORT_YET;
      if (count !== 1) return NO_PORT;
      if (byte[0] === NEWLINE) return parsePort(this.#line);
      this.#line += String.fromCharCode(byte[0]!);
    }
    return NO_PORT;
  }

  /** Says that the guest has accepted; `port` is the host's end. */
  confirm(port: number): void {
    const line = new TextEncoder().encode(`OK ${port}\n`);
    libc.write_u32(this.fd, line, line.length);
  }

  /** Reads into iovecs: bytes, 0 at the end, or -errno. */
  read(iovecs: Deno.PointerValue, count: number): number {
    const result = libc.readv(this.fd, iovecs, count);
    return result < 0 ? -errno() : result;
  }

  /** Writes from iovecs: bytes, or -errno. Deno ignores SIGPIPE. */
  write(iovecs: Deno.PointerValue, count: number): number {
    const result = libc.writev(this.fd, iovecs, count);
    return result < 0 ? -errno() : result;
  }

  /** The program reads an end of file. */
  endWriting(): void {
    shutdownSocket(this.fd, Shut.WRITE);
  }

  /** The program's writes fail. */
  endReading(): void {
    shutdownSocket(this.fd, Shut.READ);
  }

  /** Closes the socket. */
  close(): void {
    closeFd(this.fd);
  }
}

function parsePort(line: string): number {
  const match = /^CONNECT (\d{1,10})\r?$/i.exec(line);
  const port = match ? Number(match[1]) : NO_PORT;
  return port <= 0xffff_ffff ? port : NO_PORT;
}
