/**
 * A port of a switch: one connection, on which each frame is behind its length
 * in four bytes, as QEMU's `-netdev stream` and passt send them.
 *
 * @module
 */
import {
  FRAME_MAX,
  getLength,
  LENGTH_SIZE,
  putLength,
} from "../devices/backends/net/stream.ts";
import type { PcapFile } from "../devices/backends/net/pcap_file.ts";
import { Line } from "./line.ts";
import type { LinkShape } from "./shape.ts";

/** Bytes that one read brings at most; more than the longest frame. */
const IN_SIZE = 128 * 1024;
/**
 * Bytes that wait for one write at most, and as many are in the one before: a
 * client that reads no more loses what comes then.
 */
const OUT_SIZE = 512 * 1024;
/** Two addresses and a type. */
const FRAME_MIN = 14;

/** The link that a port is at the end of. */
export interface PortLink {
  /** What it does to frames. */
  readonly shape: LinkShape;
  /** What gets all frames, as the client sends and gets them. */
  readonly pcap: PcapFile | undefined;
}

/** What has become of a port's frames. */
export interface PortCounts {
  /** From its client. */
  received: number;
  /** To its client. */
  sent: number;
  /** Lost by the link's chance, either way. */
  lost: number;
  /** For which there was no room or no time, either way. */
  dropped: number;
}

/** A connection; its client may be anybody. */
export class Port {
  readonly #conn: Deno.Conn;
  readonly #link: PortLink;
  readonly #in: Line;
  readonly #out: Line;
  /** What waits for the next write, and what the one under way writes. */
  #waiting = new Uint8Array(OUT_SIZE);
  #going = new Uint8Array(OUT_SIZE);
  #end = 0;
  #writing = false;
  #closed = false;
  #received = 0;
  #sent = 0;
  #dropped = 0;

  /**
   * A port on `conn`, which becomes its own.
   *
   * @param number of this port among those of its link; with the link's seed
   *   it makes its own chances
   * @param forward gets the frames of its client, each at least 14 bytes; they
   *   are not its own
   */
  constructor(
    conn: Deno.Conn,
    link: PortLink,
    number: number,
    forward: (frame: Uint8Array) => void,
  ) {
    this.#conn = conn;
    this.#link = link;
    const seed = Math.imul(link.shape.seed ?? 1, 0x10001) + 2 * number;
    const shape = () => link.shape;
    this.#in = new Line(shape, seed, forward);
    this.#out = new Line(shape, seed + 1, (frame) => this.#put(frame));
  }

  /** As they are now. */
  get counts(): PortCounts {
    const [toUs, toClient] = [this.#in, this.#out];
    return {
      received: this.#received,
      sent: this.#sent,
      lost: toUs.lost + toClient.lost,
      dropped: this.#dropped + toUs.dropped + toClient.dropped,
    };
  }

  /** Sends a frame to the client; there may be no room for it. */
  send(frame: Uint8Array): void {
    this.#out.push(frame);
  }

  /**
   * Takes frames until the client has gone.
   *
   * @returns what the client did wrong, or undefined
   */
  async run(): Promise<string | undefined> {
    const bytes = new Uint8Array(IN_SIZE);
    let end = 0;
    for (;;) {
      // A client that goes may be told by an error as well.
      const count = await this.#conn.read(bytes.subarray(end))
        .catch(() => null);
      if (count === null || this.#closed) return undefined;
      end += count;
      let start = 0;
      while (end - start >= LENGTH_SIZE) {
        const length = getLength(bytes, start);
        if (length > FRAME_MAX) return `a frame of ${length} bytes`;
        const next = start + LENGTH_SIZE + length;
        if (next > end) break;
        this.#take(bytes.subarray(start + LENGTH_SIZE, next));
        start = next;
      }
      this.#link.pcap?.flush();
      bytes.copyWithin(0, start, end);
      end -= start;
    }
  }

  /** Hangs up. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#in.close();
    this.#out.close();
    this.#conn.close();
  }

  #take(frame: Uint8Array): void {
    if (frame.length < FRAME_MIN) {
      this.#dropped++;
      return;
    }
    this.#received++;
    this.#link.pcap?.add(frame.length)?.set(frame);
    this.#in.push(frame);
  }

  #put(frame: Uint8Array): void {
    const next = this.#end + LENGTH_SIZE + frame.length;
    if (next > OUT_SIZE || this.#closed) {
      this.#dropped++;
      return;
    }
    putLength(this.#waiting, this.#end, frame.length);
    this.#waiting.set(frame, this.#end + LENGTH_SIZE);
    this.#end = next;
    this.#sent++;
    this.#link.pcap?.add(frame.length)?.set(frame);
    if (this.#writing) return;
    this.#writing = true;
    // After the frames that came together with this one.
    queueMicrotask(() => this.#write());
  }

  /** Writes what waits, until nothing does. */
  async #write(): Promise<void> {
    while (this.#end > 0 && !this.#closed) {
      this.#link.pcap?.flush();
      const end = this.#end;
      [this.#waiting, this.#going] = [this.#going, this.#waiting];
      this.#end = 0;
      try {
        for (let at = 0; at < end;) {
          at += await this.#conn.write(this.#going.subarray(at, end));
        }
      } catch {
        this.#closed || this.close(); // nobody is there
      }
    }
    this.#writing = false;
  }
}
