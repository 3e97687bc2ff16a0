/**
 * Random bytes from a module of the user's, which may promise them: a request
 * waits until there are some.
 *
 * @module
 */
import { viewOf } from "../../../ffi/memory/mmap.ts";
import type { OwnCode, OwnLoop } from "../../own/code.ts";
import type { OwnContext } from "../../own/context.ts";
import { checkFilled, whenKept } from "../../own/outstanding.ts";
import type { EntropySource } from "./source.ts";

/** What an `entropy`'s `backend` is: its default export is a class of these. */
export interface EntropyModule {
  /** Before anything else. */
  open?(context: OwnContext): void | Promise<void>;
  /** Fills all of `bytes`. */
  fill(bytes: Uint8Array): void | Promise<void>;
  /** Releases what it holds. */
  close?(): void;
}

/** Milliseconds until a module that has failed is asked again. */
const AGAIN = 1000;

/** A source that runs dry; as a device's limit, it lets requests wait. */
export class ModuleEntropy implements EntropySource {
  readonly #module: EntropyModule;
  readonly #own: OwnCode;
  #ready = new Uint8Array();
  #asked = false;
  #resume = () => {};

  /** Bytes of `module`, which is open, and whose code is `own`. */
  constructor(module: EntropyModule, own: OwnCode) {
    this.#module = module;
    this.#own = own;
  }

  /** Calls `resume` when there are bytes after there were none. */
  attach(loop: OwnLoop, resume: () => void): void {
    this.#own.attach(loop, (reason) => this.#own.complain(reason));
    this.#resume = resume;
  }

  /** False: there are none yet. */
  take(wanted: number): boolean {
    if (this.#ready.length === 0 && !this.#asked && wanted > 0) {
      this.#ask(wanted);
    }
    return this.#ready.length > 0 || wanted === 0;
  }

  fill(address: number, length: number): number {
    const count = Math.min(length, this.#ready.length);
    const bytes = this.#ready.subarray(0, count);
    new Uint8Array(viewOf(address, count)).set(bytes);
    this.#ready = this.#ready.subarray(count);
    return count;
  }

  close(): void {
    this.#own.close();
    this.#module.close?.();
  }

  #ask(wanted: number): void {
    const bytes = new Uint8Array(wanted);
    const failed = (error: unknown) => {
      this.#own.fail(error);
      this.#own.setTimer(AGAIN, () => {
        this.#asked = false;
        this.#resume();
      });
    };
    this.#asked = true;
    try {
      const filled = this.#module.fill(bytes);
      const kept = (returned: unknown) => {
        checkFilled("fill", returned, bytes);
        this.#asked = false;
        this.#ready = bytes;
      };
      if (!(filled instanceof Promise)) return kept(filled);
      whenKept(this.#own.name, filled, (returned) => {
        kept(returned);
        this.#resume();
      }, failed);
    } catch (error) {
      failed(error);
    }
  }
}
