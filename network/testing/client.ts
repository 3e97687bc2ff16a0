/**
 * For tests: a machine's end of a switch's socket.
 *
 * @module
 */
import assert from "node:assert/strict";
import { gather } from "../../guest/testing/iovecs.ts";

/** A client that sends and gets frames. */
export class Client implements Disposable {
  readonly #conn: Deno.Conn;
  #bytes = new Uint8Array();

  private constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Connects to a switch's socket. */
  static async connect(path: string): Promise<Client> {
    return new Client(await Deno.connect({ transport: "unix", path }));
  }

  /** Sends frames, each behind its length. */
  async send(...frames: Uint8Array[]): Promise<void> {
    const parts = frames.flatMap((frame) => {
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, frame.length);
      return [length, new Uint8Array(frame)];
    });
    await this.write(gather(parts));
  }

  /** Sends bytes as they are. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      at += await this.#conn.write(bytes.subarray(at));
    }
  }

  /** The next frame; undefined when it was hung up. */
  async receive(): Promise<Uint8Array | undefined> {
    const header = await this.#take(4);
    if (header === undefined) return undefined;
    const length = new DataView(header.buffer).getUint32(0);
    return await this.#take(length);
  }

  /** The fifteenth byte of the next frame: what {@linkcode frame} has there. */
  async mark(): Promise<number | undefined> {
    return (await this.receive())?.[14];
  }

  /** Hangs up. */
  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch { /* it has already */ }
  }

  async #take(length: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    while (this.#bytes.length < length) {
      const room = new Uint8Array(65536);
      const count = await this.#conn.read(room).catch(() => null);
      if (count === null) return undefined;
      this.#bytes = gather([this.#bytes, room.slice(0, count)]);
    }
    const taken = this.#bytes.slice(0, length);
    this.#bytes = this.#bytes.slice(length);
    return taken;
  }
}

/** For all stations. */
export const ALL = 0xff;

/** A frame between stations, which have one byte as their names. */
export function frame(
  to: number,
  from: number,
  mark: number,
  length = 60,
): Uint8Array {
  assert.ok(length >= 15);
  const bytes = new Uint8Array(length);
  bytes.set(to === ALL ? [255, 255, 255, 255, 255, 255] : [2, 0, 0, 0, 0, to]);
  bytes.set([2, 0, 0, 0, 0, from, 0x88, 0xb5, mark], 6);
  return bytes;
}
