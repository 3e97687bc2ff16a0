/**
 * The metadata service on a link: takes the frames that are for its address,
 * and answers with frames.
 *
 * @module
 */
import { Connection } from "./connection.ts";
import {
  arpReply,
  Flag,
  HEADERS,
  replyTo,
  type Segment,
  segmentOf,
} from "./frames.ts";
import { MmdsHttp, type MmdsSettings } from "./http.ts";

/** Connections at once. */
const CONNECTIONS_MAX = 30;
const HTTP_PORT = 80;

/** One service. */
export class Mmds {
  /** Its address, as a number. */
  readonly address: number;
  readonly #http: MmdsHttp;
  readonly #mssMax: number;
  readonly #connections = new Map<string, Connection>();
  #number = 1;

  /** @param mtu of the link */
  constructor(
    settings: MmdsSettings,
    mtu: number,
    http = new MmdsHttp(settings),
  ) {
    this.address = addressOf(settings.address);
    this.#http = http;
    this.#mssMax = mtu - (HEADERS - 14);
  }

  /** What it tells from now on. */
  set store(value: unknown) {
    this.#http.store = value;
  }

  /** Takes a frame that is for it; returns what it says, in order. */
  take(frame: Uint8Array): Uint8Array[] {
    const arp = arpReply(frame);
    if (arp !== undefined) return [arp];
    const segment = segmentOf(frame);
    if (segment === undefined) return [];
    return this.#segment(segment).map((reply) =>
      replyTo(segment, this.address, reply)
    );
  }

  #segment(segment: Segment) {
    const name = `${segment.address}:${segment.port}`;
    const { flags } = segment;
    let connection = this.#connections.get(name);
    if (connection === undefined || startsAnew(connection, segment)) {
      const wanted = (flags & (Flag.SYN | Flag.ACK)) === Flag.SYN;
      if (!wanted || segment.toPort !== HTTP_PORT) {
        return flags & Flag.RST ? [] : [refusal(segment)];
      }
      this.#makeRoom(name);
      // Another first number for each, so that old segments are none of it.
      this.#number = this.#number + 0x10_0001 >>> 0;
      connection = new Connection(
        ...[segment, this.#number, this.#mssMax, this.#http.serve] as const,
      );
      this.#connections.set(name, connection);
      return [connection.accept()];
    }
    const replies = connection.take(segment);
    this.#connections.delete(name);
    if (!connection.over) this.#connections.set(name, connection); // the latest
    return replies;
  }

  /** Of too many connections, the one that was silent the longest goes. */
  #makeRoom(name: string): void {
    this.#connections.delete(name);
    if (this.#connections.size < CONNECTIONS_MAX) return;
    const [idlest] = this.#connections.keys();
    this.#connections.delete(idlest!);
  }
}

/** A guest that was reset uses its ports again. */
function startsAnew(connection: Connection, { flags, seq }: Segment): boolean {
  return (flags & (Flag.SYN | Flag.ACK)) === Flag.SYN &&
    !connection.isSyn(seq);
}

/** RFC 9293, 3.5.2: what is said to a segment of no connection. */
function refusal({ flags, seq, ack, data }: Segment) {
  const length = data.length + (flags & (Flag.SYN | Flag.FIN) ? 1 : 0);
  return flags & Flag.ACK ? { seq: ack, ack: 0, flags: Flag.RST, window: 0 } : {
    seq: 0,
    ack: seq + length >>> 0,
    flags: Flag.RST | Flag.ACK,
    window: 0,
  };
}

function addressOf(text: string): number {
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
