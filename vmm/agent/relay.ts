/**
 * A command for somebody outside of the process: the agent's frames on a
 * connection of its own, with channel 0, behind one that says that it runs.
 * Whoever is there is the user's own, but may be wrong, deaf, or gone.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { SpawnOptions } from "./exec.ts";
import { type GuestProcess, signalName, signalNumber } from "./process.ts";
import {
  Ended,
  type Frame,
  From,
  INPUT_WINDOW,
  Nonsense,
  OUTPUT_WINDOW,
  To,
} from "./protocol.ts";
import { type ChannelUser, Session } from "./session.ts";

/** What starts it. */
export type Spawn = (options: SpawnOptions) => Promise<GuestProcess>;

/** One command, and who wants it. */
export class Relay implements ChannelUser {
  readonly #session: Session;
  readonly #gone = new AbortController();
  readonly #credit = [OUTPUT_WINDOW, OUTPUT_WINDOW];
  #input = INPUT_WINDOW;
  #creditComes: PromiseWithResolvers<void> | undefined;
  #process: GuestProcess | undefined;
  #stdin: WritableStreamDefaultWriter<Uint8Array> | undefined;

  /** For the other end of the socket `fd`, which is its own from now on. */
  constructor(fd: number) {
    this.#session = new Session(fd);
  }

  /** From its start to its end. */
  async run(spawn: Spawn): Promise<void> {
    try {
      await this.#session.open(this);
      const process = await spawn({ signal: this.#gone.signal });
      this.#process = process;
      this.#stdin = process.stdin.getWriter();
      await this.#send(From.HELLO);
      const streams = [process.stdout, process.stderr];
      await Promise.all(streams.map((_, index) => this.#pass(streams, index)));
      await this.#send(From.END, ending(await process.status));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      await this.#send(From.FAILED, new TextEncoder().encode(why));
    }
    this.#session.close("the command has ended");
  }

  take({ type, bytes }: Frame): boolean {
    const process = this.#process;
    if (process === undefined) throw new Nonsense("it has not begun");
    switch (type) {
      case To.INPUT:
        this.#write(bytes);
        return false;
      case To.CREDIT:
        this.#gotCredit(bytes);
        return false;
      case To.SIGNAL: {
        const signal = signalName(bytes[0] ?? 0);
        signalNumber(signal);
        process.kill(signal);
        return false;
      }
      case To.SIZE: {
        if (bytes.length !== 4) throw new Nonsense("that is no size");
        const [rows, columns] = new Uint16Array(bytes.buffer);
        process.resize({ rows: rows!, columns: columns! });
        return false;
      }
      case To.KILL:
        process.abandon(new VireoError("exec: the command was given up"));
        return false;
    }
    throw new Nonsense("a frame of no known type");
  }

  lost(error: VireoError): void {
    this.#gone.abort(error);
    this.#creditComes?.resolve();
  }

  #send(type: number, bytes?: Uint8Array): Promise<void> {
    return this.#session.send(type, 0, bytes);
  }

  /** As far as there is credit; without, the command waits. */
  async #pass(
    streams: readonly ReadableStream<Uint8Array>[],
    index: number,
  ): Promise<void> {
    for await (let rest of streams[index]!) {
      while (rest.length > 0) {
        const credit = this.#credit[index]!;
        if (credit === 0) await this.#moreCredit();
        if (this.#gone.signal.aborted) return;
        const piece = rest.subarray(0, credit);
        this.#credit[index]! -= piece.length;
        rest = rest.subarray(piece.length);
        if (piece.length > 0) await this.#send(From.OUTPUT + index, piece);
      }
    }
  }

  #moreCredit(): Promise<void> {
    this.#creditComes ??= Promise.withResolvers();
    return this.#creditComes.promise;
  }

  #gotCredit(bytes: Uint8Array): void {
    if (bytes.length !== 5) throw new Nonsense("that is no credit");
    const { buffer, byteOffset } = bytes;
    const index = bytes[0]! - 1;
    const credit = (this.#credit[index] ?? OUTPUT_WINDOW) +
      new DataView(buffer, byteOffset).getUint32(1, true);
    if (credit > OUTPUT_WINDOW) throw new Nonsense("that is too much credit");
    this.#credit[index] = credit;
    this.#creditComes?.resolve();
    this.#creditComes = undefined;
  }

  #write(bytes: Uint8Array): void {
    this.#input -= bytes.length;
    if (this.#input < 0) throw new Nonsense("that is more than it may");
    // What the command doesn't take any more is lost.
    if (bytes.length === 0) return void this.#stdin?.close().catch(() => {});
    this.#stdin?.write(bytes).catch(() => {}).then(() => {
      this.#input += bytes.length;
      const credit = Uint32Array.of(bytes.length);
      void this.#send(From.CREDIT, new Uint8Array(credit.buffer));
    });
  }
}

function ending(
  { code, signal }: Awaited<GuestProcess["status"]>,
): Uint8Array {
  return signal === null
    ? Uint8Array.of(Ended.EXIT, code)
    : Uint8Array.of(Ended.SIGNAL, code - 128);
}
