/**
 * The file of a capture, in the format of libpcap (pcap-savefile(5)), which
 * tcpdump and Wireshark read. Writing to it never waits: a FIFO whose reader is
 * slow, or a disk without room, costs frames of the capture and nothing else.
 *
 * @module
 */
import { Errno, errno, errnoName, errnoText } from "../../../ffi/errno.ts";
import { libc } from "../../../ffi/libc.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const VERSION = [2, 4] as const;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;
/** Where a record's header has the number of bytes behind it. */
const KEPT = 8;
/** Bytes of a frame that are kept: all. */
const SNAPLEN = 65535 + 18;
const BUFFER_SIZE = 256 * 1024;
const SEEK_CUR = 1;

/** What may go away: the record is tried again. */
const PASSING: readonly number[] = [
  Errno.EAGAIN,
  Errno.ENOSPC,
  Errno.EDQUOT,
  Errno.EFBIG,
];

/** An open capture, as plain data. */
export interface Capture {
  /** What it is called in messages. */
  path: string;
  /**
   * Where to: a descriptor that doesn't block and stays its owner's, on which
   * {@linkcode pcapHeader} was written.
   */
  fd: number;
}

/** A capture's records on their way to the file; whole ones, in order. */
export class PcapFile {
  readonly #file: Capture;
  readonly #log: (message: string) => void;
  readonly #bytes = new Uint8Array(BUFFER_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);
  /** The first record that is not all in the file. */
  #head = 0;
  /** The first byte that is not in the file. */
  #start = 0;
  #end = 0;
  #leftOut = 0;
  #told = 0; // the errno that has been told
  #over = false;

  /** The records of `file`; `log` gets a line when some don't get there. */
  constructor(file: Capture, log: (message: string) => void) {
    this.#file = file;
    this.#log = log;
  }

  /**
   * Adds a record, and returns where its bytes go: some of the frame's
   * `length`. Undefined: there is no room for it, and it is left out.
   */
  add(length: number): Uint8Array | undefined {
    if (this.#over) return undefined;
    const kept = Math.min(length, SNAPLEN);
    if (!this.#makeRoom(RECORD_HEADER_SIZE + kept)) {
      this.#leftOut++;
      return undefined;
    }
    const now = performance.timeOrigin + performance.now();
    const seconds = Math.floor(now / 1000);
    const view = this.#view;
    view.setUint32(this.#end, seconds, true);
    view.setUint32(this.#end + 4, (now - seconds * 1000) * 1000, true);
    view.setUint32(this.#end + KEPT, kept, true);
    view.setUint32(this.#end + 12, length, true);
    const start = this.#end + RECORD_HEADER_SIZE;
    this.#end = start + kept;
    return this.#bytes.subarray(start, this.#end);
  }

  /** Writes as much as the file takes now. */
  flush(): void {
    while (this.#start < this.#end && !this.#over) {
      const bytes = this.#bytes.subarray(this.#start, this.#end);
      const written = libc.write_u32(this.#file.fd, bytes, bytes.length);
      const code = errno();
      if (written > 0) this.#written(written);
      else if (code !== Errno.EINTR) return this.#refused(code);
    }
  }

  /** Writes what can be written, and cuts off a record that isn't whole. */
  close(): void {
    this.flush();
    if (this.#start > this.#head) {
      const { fd } = this.#file;
      const at = Number(libc.lseek(fd, 0n, SEEK_CUR)); // a FIFO has none
      const partial = this.#start - this.#head;
      if (at >= partial) libc.ftruncate(fd, BigInt(at - partial));
    }
    for (let at = this.#head; at < this.#end; at = this.#behind(at)) {
      this.#leftOut++;
    }
    this.#head = this.#start = this.#end = 0;
    if (this.#leftOut > 0) this.#say(`frames left out: ${this.#leftOut}`);
    this.#leftOut = 0;
  }

  #makeRoom(size: number): boolean {
    if (this.#end + size <= BUFFER_SIZE) return true;
    this.flush();
    this.#bytes.copyWithin(0, this.#head, this.#end);
    this.#start -= this.#head;
    this.#end -= this.#head;
    this.#head = 0;
    return this.#end + size <= BUFFER_SIZE;
  }

  #written(count: number): void {
    this.#start += count;
    while (this.#head < this.#end && this.#behind(this.#head) <= this.#start) {
      this.#head = this.#behind(this.#head);
    }
    if (this.#start === this.#end) this.#head = this.#start = this.#end = 0;
  }

  /** Where the record behind the one at `at` begins. */
  #behind(at: number): number {
    return at + RECORD_HEADER_SIZE + this.#view.getUint32(at + KEPT, true);
  }

  #refused(code: number): void {
    this.#over = !PASSING.includes(code);
    if (code === this.#told || code === Errno.EAGAIN) return;
    this.#told = code;
    const then = this.#over
      ? "the capture ends"
      : "frames are left out until there is room";
    this.#say(`${errnoName(code)} (${errnoText(code)}); ${then}`);
  }

  #say(what: string): void {
    this.#log(`capture "${this.#file.path}": ${what}`);
  }
}

/** What a capture file begins with. */
export function pcapHeader(): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_SIZE));
  view.setUint32(0, MAGIC_MICROSECONDS, true);
  view.setUint16(4, VERSION[0], true);
  view.setUint16(6, VERSION[1], true);
  view.setUint32(16, SNAPLEN, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return new Uint8Array(view.buffer);
}
