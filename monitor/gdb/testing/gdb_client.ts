/**
 * For tests: the other end of gdb's protocol.
 *
 * @module
 */
import assert from "node:assert/strict";
import { bytesOf, type Frame, framed, FrameReader, hexOf } from "../packets.ts";

/** Far off: a stop takes as long as the guest does. */
const LIMIT = 60_000;

/** A connection to a server. */
export class GdbClient implements Disposable {
  readonly #connection: Deno.Conn;
  readonly #reader = new FrameReader();
  readonly #frames: Frame[] = [];
  readonly #buffer = new Uint8Array(64 * 1024);

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Connects to what gdb's `target remote` takes. */
  static async connect(target: string): Promise<GdbClient> {
    if (target.startsWith("/")) {
      return new GdbClient(
        await Deno.connect({ transport: "unix", path: target }),
      );
    }
    const [, hostname, port] = /^\[?(.*?)\]?:(\d+)$/.exec(target)!;
    return new GdbClient(
      await Deno.connect({ hostname, port: Number(port) }),
    );
  }

  /** Sends bytes as they are. */
  async raw(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += await this.#connection.write(bytes.subarray(done));
    }
  }

  /** Sends a packet. */
  async send(data: string): Promise<void> {
    await this.raw(framed(data));
  }

  /** The next packet's data; undefined: the server has closed. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame?.type === "packet") return String.fromCharCode(...frame.data);
      assert.notEqual(frame?.type, "damaged");
      if (frame !== undefined) continue;
      const count = await this.#read();
      if (count === null) return undefined;
      const bytes = this.#buffer.subarray(0, count);
      this.#frames.push(...this.#reader.push(bytes));
    }
  }

  /** Sends a packet; what answers it. */
  async ask(data: string): Promise<string> {
    await this.send(data);
    const answer = await this.next();
    assert.ok(answer !== undefined, `${data}: the server has closed`);
    return answer;
  }

  /** `monitor WORDS`: what it prints. */
  async monitor(words: string): Promise<string> {
    let text = "";
    let answer = await this.ask(
      `qRcmd,${hexOf(new TextEncoder().encode(words))}`,
    );
    for (
      ;
      answer[0] === "O" && answer !== "OK";
      answer = (await this.next())!
    ) {
      text += new TextDecoder().decode(bytesOf(answer.slice(1))!);
    }
    assert.equal(answer, "OK");
    return text;
  }

  /** Waits until the server closes. */
  async closed(): Promise<void> {
    while (await this.next() !== undefined);
  }

  async #read(): Promise<number | null> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error("no answer")), LIMIT);
    try {
      return await Promise.race([
        this.#connection.read(this.#buffer),
        late.promise,
      ]);
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return null;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Goes, without a word. */
  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch { /* it is closed */ }
  }
}

/** A 64-bit register of a `g` answer: the general ones come first. */
export function registerOf(answer: string, number: number): bigint {
  const bytes = bytesOf(answer.slice(number * 16, number * 16 + 16))!;
  return new DataView(bytes.buffer).getBigUint64(0, true);
}
