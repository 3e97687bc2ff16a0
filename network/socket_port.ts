/**
 * A port on a connection, on which each frame is behind its length in four
 * bytes, as QEMU's `-netdev stream` and passt send them.
 *
 * @module
 */
import {
  FRAME_MAX,
  getLength,
  LENGTH_SIZE,
  putLength,
} from "../devices/backends/net/stream.ts";
import { Port, type PortLink } from "./port.ts";

/** Bytes that one read brings at most; more than the longest frame. */
const IN_SIZE = 128 * 1024;
/**
 * Bytes that wait for one write at most, and as many are in the one before: a
 * client that reads no more loses what comes then.
 */
const OUT_SIZE = 512 * 1024;

/** A connection; its client may be anybody. */
export class SocketPort extends Port {
  readonly #conn: Deno.Conn;
  /** What waits for the next write, and what the one under way writes. */
  #waiting = new Uint8Array(OUT_SIZE);
  #going = new Uint8Array(OUT_SIZE);
  #end = 0;
  #writing = false;

  /** A port on `conn`, which becomes its own; else as any {@linkcode Port}. */
  constructor(
    conn: Deno.Conn,
    link: PortLink,
    number: number,
    forward: (frame: Uint8Array) => void,
  ) {
    super(link, number, forward);
    this.#conn = conn;
  }

  async run(): Promise<string | undefined> {
    const bytes = new Uint8Array(IN_SIZE);
    let end = 0;
    for (;;) {
      // A client that goes may be told by an error as well.
      const count = await this.#conn.read(bytes.subarray(end))
        .catch(() => null);
      if (count === null || this.closed) return undefined;
      end += count;
      let start = 0;
      while (end - start >= LENGTH_SIZE) {
        const length = getLength(bytes, start);
        if (length > FRAME_MAX) return `a frame of ${length} bytes`;
        const next = start + LENGTH_SIZE + length;
        if (next > end) break;
        this.take(bytes.subarray(start + LENGTH_SIZE, next));
        start = next;
      }
      this.flush();
      bytes.copyWithin(0, start, end);
      end -= start;
    }
  }

  protected hangUp(): void {
    this.#conn.close();
  }

  protected put(frame: Uint8Array): boolean {
    const next = this.#end + LENGTH_SIZE + frame.length;
    if (next > OUT_SIZE) return false;
    putLength(this.#waiting, this.#end, frame.length);
    this.#waiting.set(frame, this.#end + LENGTH_SIZE);
    this.#end = next;
    if (this.#writing) return true;
    this.#writing = true;
    // After the frames that came together with this one.
    queueMicrotask(() => this.#write());
    return true;
  }

  /** Writes what waits, until nothing does. */
  async #write(): Promise<void> {
    while (this.#end > 0 && !this.closed) {
      this.flush();
      const end = this.#end;
      [this.#waiting, this.#going] = [this.#going, this.#waiting];
      this.#end = 0;
      try {
        for (let at = 0; at < end;) {
          at += await this.#conn.write(this.#going.subarray(at, end));
        }
      } catch {
        this.close(); // nobody is there
      }
    }
    this.#writing = false;
  }
}
