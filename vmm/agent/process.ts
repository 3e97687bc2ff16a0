/**
 * A command that runs in a guest: its streams, its end.
 *
 * @module
 */
import type * as NodeOs from "node:os";
import { VireoError } from "../../ffi/error.ts";
import { nodeModule } from "../../ffi/node_module.ts";
import { checkSize, type TerminalSize } from "./exec.ts";
import {
  Ended,
  type Frame,
  From,
  INPUT_WINDOW,
  Nonsense,
  OUTPUT_WINDOW,
  pieces,
  To,
} from "./protocol.ts";
import { GuestOutput } from "./output.ts";
import type { Session } from "./session.ts";

/** Numbers of signals by their names: the guest is a Linux as the host is. */
function signals(): Partial<Record<Deno.Signal, number>> {
  return nodeModule<typeof NodeOs>("node:os").constants.signals;
}

/**
 * A signal's number.
 *
 * @throws {VireoError} there is no such signal
 */
export function signalNumber(signal: Deno.Signal): number {
  const number = signals()[signal];
  if (number !== undefined) return number;
  throw new VireoError(`exec: ${signal} is no signal of Linux`);
}

/** How a command has ended. */
export interface GuestStatus {
  /** Its exit status is 0. */
  success: boolean;
  /** Its exit status; of one that a signal ended, 128 and its number. */
  code: number;
  /** The signal that ended it. */
  signal: Deno.Signal | null;
}

/** A command that runs in a guest. */
export class GuestProcess implements AsyncDisposable {
  /**
   * Its standard input. What it doesn't read is lost, as at the end of a pipe.
   */
  readonly stdin: WritableStream<Uint8Array>;
  /** Its standard output; on a terminal, all that it prints. */
  readonly stdout: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Its standard error. */
  readonly stderr: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * Its end. What other processes that have its streams write afterwards is
   * lost. Rejects when the machine has ended, was put back to a snapshot, or
   * its agent says what makes no sense.
   */
  readonly status: Promise<GuestStatus>;
  readonly #status = Promise.withResolvers<GuestStatus>();
  readonly #session: Session;
  readonly #outputs: readonly GuestOutput[];
  #channel = -1;
  #over = false;
  #credit = INPUT_WINDOW;
  #creditComes: PromiseWithResolvers<void> | undefined;

  /** @internal Of `session`; it gets its channel with {@linkcode begin}. */
  constructor(session: Session) {
    this.#session = session;
    this.status = this.#status.promise;
    this.status.catch(() => {}); // who doesn't ask isn't told
    this.#outputs = [1, 2].map((stream) =>
      new GuestOutput((bytes) => this.#giveCredit(stream, bytes))
    );
    [this.stdout, this.stderr] = this.#outputs.map(({ readable }) =>
      readable
    ) as [GuestOutput["readable"], GuestOutput["readable"]];
    this.stdin = new WritableStream({
      write: (bytes) => this.#input(bytes),
      close: () => this.#send(To.INPUT),
      abort: () => this.#send(To.INPUT),
    });
  }

  /**
   * @internal It starts on this channel, with what `encodeWords` made; without,
   * it has been started.
   */
  begin(
    channel: number,
    words?: Uint8Array,
    terminal?: TerminalSize,
  ): void {
    this.#channel = channel;
    if (words === undefined) return;
    const start = new DataView(new ArrayBuffer(12));
    start.setUint16(0, terminal ? 1 : 0, true);
    start.setUint16(2, terminal?.rows ?? 0, true);
    start.setUint16(4, terminal?.columns ?? 0, true);
    start.setUint32(8, OUTPUT_WINDOW, true);
    for (const part of pieces(words)) void this.#send(To.ARGUMENTS, part);
    void this.#send(To.START, new Uint8Array(start.buffer));
  }

  /** Sends it, and what it has started, a signal. Ended, it gets none. */
  kill(signal: Deno.Signal = "SIGTERM"): void {
    void this.#send(To.SIGNAL, Uint8Array.of(signalNumber(signal)));
  }

  /**
   * Its terminal has another size.
   *
   * @throws {VireoError} no terminal has that size
   */
  resize(size: TerminalSize): void {
    checkSize(size);
    const words = Uint16Array.of(size.rows, size.columns);
    void this.#send(To.SIZE, new Uint8Array(words.buffer));
  }

  /** @internal Nobody wants it any more; its owner is told `error`. */
  abandon(error: unknown): void {
    if (this.#over) return;
    void this.#send(To.KILL);
    this.#finish(error);
    // Until its end comes, what it says takes up the channel and nothing else.
    for (const output of this.#outputs) output.drop();
  }

  /** Kills it, if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abandon(new VireoError("exec: the command was given up"));
    await this.status.catch(() => {});
  }

  /** @internal */
  take({ type, bytes }: Frame): boolean {
    switch (type) {
      case From.OUTPUT:
      case From.ERRORS:
        this.#outputs[type - From.OUTPUT]!.push(bytes);
        return false;
      case From.CREDIT:
        this.#gotCredit(bytes);
        return false;
      case From.END:
        this.#ended(bytes);
        return true;
    }
    throw new Nonsense("its agent's frame is of no known type");
  }

  /** @internal */
  lost(error: VireoError): void {
    this.#finish(new VireoError(`exec: ${error.message}`));
  }

  #ended(bytes: Uint8Array): void {
    const [how, value] = bytes;
    if (bytes.length !== 2 || how! > Ended.REFUSED) {
      throw new Nonsense("its agent tells an end that there can't be");
    }
    if (this.#over) return;
    if (how === Ended.REFUSED) {
      const why = `exec: the guest could not start it (errno ${value})`;
      return this.#finish(new VireoError(why));
    }
    this.#over = true;
    this.#creditComes?.resolve();
    for (const output of this.#outputs) output.end();
    const signal = how === Ended.SIGNAL ? signalName(value!) : null;
    const code = how === Ended.SIGNAL ? 128 + value! : value!;
    this.#status.resolve({ success: code === 0, code, signal });
  }

  #finish(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#creditComes?.resolve();
    for (const output of this.#outputs) output.fail(error);
    this.#status.reject(error);
  }

  #send(type: number, bytes?: Uint8Array): Promise<void> {
    if (this.#over) return Promise.resolve();
    return this.#session.send(type, this.#channel, bytes);
  }

  async #input(bytes: Uint8Array): Promise<void> {
    while (bytes.length > 0 && !this.#over) {
      if (this.#credit === 0) {
        this.#creditComes = Promise.withResolvers();
        await this.#creditComes.promise;
        continue;
      }
      for (const piece of pieces(bytes.subarray(0, this.#credit))) {
        this.#credit -= piece.length;
        bytes = bytes.subarray(piece.length);
        await this.#send(To.INPUT, piece);
      }
    }
  }

  #gotCredit(bytes: Uint8Array): void {
    const { buffer, byteOffset, length } = bytes;
    const credit = length === 4
      ? new DataView(buffer, byteOffset).getUint32(0, true)
      : 0;
    if (credit === 0 || this.#credit + credit > INPUT_WINDOW) {
      throw new Nonsense("its agent gives credit that it has not got");
    }
    this.#credit += credit;
    this.#creditComes?.resolve();
  }

  #giveCredit(stream: number, count: number): Promise<void> {
    const bytes = new DataView(new ArrayBuffer(5));
    bytes.setUint8(0, stream);
    bytes.setUint32(1, count, true);
    return this.#send(To.CREDIT, new Uint8Array(bytes.buffer));
  }
}

/** The name of a signal with this number. */
export function signalName(number: number): Deno.Signal {
  const [name] = Object.entries(signals()).find(([, n]) => n === number) ?? [];
  return (name ?? `SIG${number}`) as Deno.Signal;
}
