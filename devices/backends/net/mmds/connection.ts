/**
 * One TCP connection to the metadata service (RFC 9293), on a link that loses
 * nothing by itself. There are no timers: what was lost all the same, in a
 * snapshot or for want of buffers, is sent again when the guest asks for it.
 *
 * @module
 */
import { Flag, type Reply, type Segment } from "./frames.ts";

/** Takes what has come, and what of it isn't used yet; gives what to answer. */
export type Serve = (received: Uint8Array) => {
  /** Bytes of `received` that are done with. */
  used: number;
  /** For the guest; undefined: more has to come. */
  answer: Uint8Array | undefined;
};

/** The most that a guest may say before it is answered, in bytes. */
export const REQUEST_MAX = 2500;
/** The most data of a segment, of a guest that says nothing of it. */
const DEFAULT_MSS = 536;

const NOTHING = new Uint8Array();

/** Whether `a` is before `b`, in numbers that begin anew after 2^32. */
function before(a: number, b: number): boolean {
  return (a - b | 0) < 0;
}

/** The service's end. */
export class Connection {
  /** Nothing more comes of it. */
  over = false;
  readonly #serve: Serve;
  readonly #mss: number;
  readonly #begin: number;
  #received: Uint8Array = NOTHING;
  #next: number; // of the guest's bytes
  /** What the guest has not confirmed; #unconfirmed is its first byte. */
  #answer: Uint8Array = NOTHING;
  #unconfirmed: number;
  #sent: number; // up to here
  #window: number;
  #established = false;
  #guestDone = false;
  #ending = false; // our FIN is behind #answer
  #ended = false; // and sent

  /**
   * The guest wants one.
   *
   * @param first number of the service's first byte
   * @param mssMax the most data that a segment may have on the link
   */
  constructor(syn: Segment, first: number, mssMax: number, serve: Serve) {
    this.#serve = serve;
    this.#begin = syn.seq;
    this.#next = syn.seq + 1 >>> 0;
    this.#unconfirmed = first;
    this.#sent = first + 1 >>> 0;
    this.#window = syn.window;
    this.#mss = Math.max(1, Math.min(syn.mss ?? DEFAULT_MSS, mssMax));
  }

  /** Whether a SYN of this number is the one that it began with, again. */
  isSyn(seq: number): boolean {
    return seq === this.#begin;
  }

  /** What is said to its SYN. */
  accept(): Reply {
    return {
      ...this.#reply(Flag.SYN | Flag.ACK),
      seq: this.#unconfirmed,
    };
  }

  /** A segment of the guest's; what is to be said to it, in order. */
  take(segment: Segment): Reply[] {
    const { flags } = segment;
    if (flags & Flag.RST) {
      this.over = true;
      return [];
    }
    if (flags & Flag.SYN) return this.#established ? [] : [this.accept()];
    if (!(flags & Flag.ACK)) return [];
    const again = this.#confirmed(segment);
    const said = this.#takeData(segment);
    if (again) this.#sent = this.#unconfirmed;
    const replies = this.#send();
    if (said && replies.length === 0) replies.push(this.#reply(Flag.ACK));
    return replies;
  }

  /** True when the guest asks for what it has not got. */
  #confirmed({ ack, window, data, flags }: Segment): boolean {
    this.#window = window;
    const end = this.#end;
    if (before(end, ack)) return false; // what was never sent
    const count = ack - this.#unconfirmed >>> 0;
    if (before(ack, this.#unconfirmed)) return false;
    const first = !this.#established;
    this.#established = true;
    if (count === 0) {
      const idle = data.length === 0 && !(flags & Flag.FIN);
      return idle && before(this.#unconfirmed, this.#sent);
    }
    const bytes = first ? count - 1 : count; // the SYN has one, too
    this.#answer = this.#answer.subarray(Math.min(bytes, this.#answer.length));
    this.#unconfirmed = ack;
    if (before(this.#sent, ack)) this.#sent = ack;
    if (this.#ended && ack === end) {
      this.#answer = NOTHING;
      if (this.#guestDone) this.over = true;
    }
    return false;
  }

  /** True when it has to be confirmed. */
  #takeData({ seq, data, flags }: Segment): boolean {
    const fin = (flags & Flag.FIN) !== 0;
    if (data.length === 0 && !fin) return false;
    const skip = this.#next - seq >>> 0; // that is there already
    if (before(this.#next, seq) || skip > data.length) return true;
    const fresh = data.subarray(skip);
    const room = REQUEST_MAX - this.#received.length;
    const taken = fresh.subarray(0, room);
    const both = new Uint8Array(this.#received.length + taken.length);
    both.set(this.#received);
    both.set(taken, this.#received.length);
    this.#received = both;
    this.#next = this.#next + taken.length >>> 0;
    if (fin && taken.length === fresh.length && !this.#guestDone) {
      this.#guestDone = true;
      this.#next = this.#next + 1 >>> 0;
    }
    this.#answerAll();
    return true;
  }

  #answerAll(): void {
    // One after the other: a guest that doesn't take answers gets no more.
    while (!this.#ending && this.#answer.length === 0) {
      const { used, answer } = this.#serve(this.#received);
      this.#received = this.#received.slice(used);
      if (answer === undefined) break;
      this.#answer = answer;
    }
    if (this.#guestDone && this.#answer.length === 0) this.#ending = true;
  }

  /** As much as the guest has room for. */
  #send(): Reply[] {
    if (this.#answer.length === 0 && !this.#ending) this.#answerAll();
    const replies: Reply[] = [];
    if (!this.#established) return replies;
    for (;;) {
      const done = this.#sent - this.#unconfirmed >>> 0;
      const room = this.#window - done;
      const left = this.#answer.length - done;
      const size = Math.min(left, room, this.#mss);
      if (size <= 0) break;
      const data = this.#answer.subarray(done, done + size);
      replies.push({ ...this.#reply(Flag.ACK | Flag.PSH), data });
      this.#sent = this.#sent + size >>> 0;
    }
    const all = this.#unconfirmed + this.#answer.length >>> 0;
    if (this.#ending && this.#sent === all) {
      replies.push(this.#reply(Flag.ACK | Flag.FIN));
      this.#sent = this.#sent + 1 >>> 0;
      this.#ended = true;
    }
    return replies;
  }

  /** Behind all that was sent, or may be. */
  get #end(): number {
    if (!this.#established) return this.#sent;
    return this.#unconfirmed + this.#answer.length + (this.#ended ? 1 : 0) >>>
      0;
  }

  #reply(flags: number): Reply {
    return {
      seq: this.#sent,
      ack: this.#next,
      flags,
      window: REQUEST_MAX - this.#received.length,
    };
  }
}
