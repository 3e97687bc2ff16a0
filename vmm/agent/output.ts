/**
 * What a command in a guest prints on one of its streams, as far as it has come
 * and nobody has read it.
 *
 * @module
 */
import { Nonsense, OUTPUT_WINDOW } from "./protocol.ts";

/** One stream of a command's. */
export class GuestOutput {
  /** Its other end. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly #tell: (bytes: number) => Promise<void>;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #more: PromiseWithResolvers<void> | undefined;
  #credit = OUTPUT_WINDOW; // what the guest may still send
  #owed = 0; // read, and the guest is not told yet
  #telling = false;
  #ended = false;
  #dropped = false;
  #failed = false;

  /** `tell` gives the guest credit, and resolves when that is on its way. */
  constructor(tell: (bytes: number) => Promise<void>) {
    this.#tell = tell;
    this.readable = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#pull(),
      cancel: () => this.drop(),
    }, { highWaterMark: 0 });
  }

  /** @throws {Nonsense} there was no credit for it */
  push(bytes: Uint8Array<ArrayBuffer>): void {
    this.#credit -= bytes.length;
    if (this.#credit < 0 || bytes.length === 0) {
      throw new Nonsense("its agent says more than it may");
    }
    if (this.#dropped) return void this.#taken(bytes.length);
    this.#chunks.push(bytes);
    this.#more?.resolve();
  }

  /** Nobody reads it any more: what comes is lost, and the command goes on. */
  drop(): void {
    this.#dropped = true;
    void this.#taken(this.#chunks.reduce((sum, { length }) => sum + length, 0));
    this.#chunks = [];
    this.#more?.resolve();
  }

  /** No more comes. */
  end(): void {
    this.#ended = true;
    this.#more?.resolve();
  }

  /** No more comes, and what is there is not to be read, for this reason. */
  fail(error: unknown): void {
    this.#dropped = true;
    this.#failed = true;
    this.#chunks = [];
    this.#controller.error(error);
    this.#more?.resolve();
  }

  async #pull(): Promise<void> {
    while (this.#chunks.length === 0 && !this.#ended && !this.#dropped) {
      this.#more = Promise.withResolvers();
      await this.#more.promise;
    }
    const chunk = this.#chunks.shift();
    if (chunk) {
      this.#controller.enqueue(chunk);
      void this.#taken(chunk.length);
    } else if (this.#ended && !this.#dropped) {
      this.#controller.close();
    }
  }

  /**
   * Gives credit for what was read, one time after the other: a guest that
   * sends, and takes none of it, would have the host keep the frames for it.
   */
  async #taken(bytes: number): Promise<void> {
    this.#owed += bytes;
    // Nobody wants more of a command that was given up, not even to drop it.
    if (this.#telling || this.#failed) return;
    this.#telling = true;
    while (this.#owed > 0) {
      const credit = this.#owed;
      this.#owed = 0;
      this.#credit += credit;
      await this.#tell(credit);
    }
    this.#telling = false;
  }
}
