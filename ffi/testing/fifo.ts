/**
 * For tests: a pipe with a name, whose reader is the test.
 *
 * @module
 */
import { ioctlBuffer } from "../ioctl.ts";
import { closeFd, Open, openFd } from "../file.ts";
import { libc } from "../libc.ts";

const FIONREAD = 0x541b;
const F_SETPIPE_SZ = 1031;

/** Bytes that it holds: the least that a pipe can. */
export const FIFO_SIZE = 4096;

/** Looks at a length that doesn't change until it is taken to be so. */
const LOOKS = 10;

/** A FIFO, which the test reads or doesn't. */
export class Fifo implements Disposable {
  /** Its name, for others to write to. */
  readonly path: string;
  readonly #folder = Deno.makeTempDirSync({ prefix: "vireo-fifo-" });
  #reader: number;

  /** Makes it, with a reader. */
  constructor() {
    this.path = `${this.#folder}/fifo`;
    new Deno.Command("mkfifo", { args: [this.path] }).outputSync();
    const flags = Open.RDONLY | Open.NONBLOCK;
    this.#reader = openFd(this.path, flags, "FIFO");
    libc.fcntl(this.#reader, F_SETPIPE_SZ, FIFO_SIZE);
  }

  /** Bytes that wait. */
  get length(): number {
    const count = new Int32Array(1);
    ioctlBuffer(this.#reader, FIONREAD, count, "FIONREAD");
    return count[0]!;
  }

  /** Waits until no more is written to it, for want of room. */
  async stuck(): Promise<void> {
    let last = 0;
    for (let same = 0; same < LOOKS; await pause()) {
      const length = this.length;
      same = length > 0 && length === last ? same + 1 : 0;
      last = length;
    }
  }

  /** Takes what is there. */
  read(): Uint8Array {
    const bytes = new Uint8Array(FIFO_SIZE);
    const count = libc.read_u32(this.#reader, bytes, bytes.length);
    return bytes.subarray(0, Math.max(count, 0));
  }

  /** Nobody reads it any more. */
  close(): void {
    if (this.#reader >= 0) closeFd(this.#reader);
    this.#reader = -1;
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    this.close();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done, 20));
}
