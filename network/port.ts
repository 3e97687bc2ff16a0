/**
 * A port of a switch, whatever is at its other end.
 *
 * @module
 */
import type { PcapFile } from "../devices/backends/net/pcap_file.ts";
import { Line } from "./line.ts";
import type { LinkShape } from "./shape.ts";

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

/** One client's end of a link. */
export abstract class Port {
  /** It has hung up. */
  closed = false;
  readonly #link: PortLink;
  readonly #in: Line;
  readonly #out: Line;
  #received = 0;
  #sent = 0;
  #dropped = 0;

  /**
   * A port at the end of `link`.
   *
   * @param number of this port among those of its link; with the link's seed
   *   it makes its own chances
   * @param forward gets the frames of its client, each at least 14 bytes; they
   *   are not its own
   */
  constructor(
    link: PortLink,
    number: number,
    forward: (frame: Uint8Array) => void,
  ) {
    this.#link = link;
    const seed = Math.imul(link.shape.seed ?? 1, 0x10001) + 2 * number;
    const shape = () => link.shape;
    this.#in = new Line(shape, seed, forward);
    this.#out = new Line(shape, seed + 1, (frame) => this.#deliver(frame));
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

  /**
   * Takes frames until the client has gone.
   *
   * @returns what the client did wrong, or undefined
   */
  abstract run(): Promise<string | undefined>;

  /** Hangs up on the client. */
  protected abstract hangUp(): void;

  /** Gives the client a frame, which is copied; false when there is no room. */
  protected abstract put(frame: Uint8Array): boolean;

  /** Sends a frame to the client; there may be no room for it. */
  send(frame: Uint8Array): void {
    this.#out.push(frame);
  }

  /** Hangs up. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#in.close();
    this.#out.close();
    this.hangUp();
  }

  /** The client has sent a frame. */
  protected take(frame: Uint8Array): void {
    if (frame.length < FRAME_MIN) {
      this.#dropped++;
      return;
    }
    this.#received++;
    this.#link.pcap?.add(frame.length)?.set(frame);
    this.#in.push(frame);
  }

  /** What is captured goes to its file. */
  protected flush(): void {
    this.#link.pcap?.flush();
  }

  #deliver(frame: Uint8Array): void {
    if (this.closed || !this.put(frame)) {
      this.#dropped++;
      return;
    }
    this.#sent++;
    this.#link.pcap?.add(frame.length)?.set(frame);
  }
}
