/**
 * A console port that ends in a module of the user's.
 *
 * @module
 */
import type { OwnCode, OwnLoop } from "../../own/code.ts";
import type { OwnContext } from "../../own/context.ts";
import { whenKept } from "../../own/outstanding.ts";
import type { ConsoleBackend } from "./backend.ts";

/** What a port's module may ask for. */
export interface PortContext extends OwnContext {
  /** Bytes for the guest, which are kept until it reads them. */
  send(bytes: Uint8Array): void;
}

/** What a port's `backend` is: its default export is a class of these. */
export interface PortModule {
  /** Before anything else. */
  open?(context: PortContext): void;
  /** Bytes of the guest's; more come when a promise is kept. */
  data(bytes: Uint8Array): void | Promise<void>;
  /** Releases what it holds. */
  close?(): void;
}

/** Bytes that are given to a module at once. */
const CHUNK = 64 * 1024;

/** A port's end in a module. */
export class ModulePort implements ConsoleBackend {
  readonly connected = true;
  readonly #module: PortModule;
  readonly #own: OwnCode;
  readonly #input: Uint8Array[] = [];
  #busy = false;
  #changed = () => {};

  /** In `module`, whose code is `own`. */
  constructor(module: PortModule, own: OwnCode) {
    this.#module = module;
    this.#own = own;
  }

  attach(loop: OwnLoop, changed: () => void): void {
    const own = this.#own;
    this.#changed = changed;
    own.attach(loop, (reason) => own.complain(reason));
    const send = (bytes: Uint8Array) => {
      this.#input.push(bytes.slice());
      this.#changed();
    };
    const context: PortContext = {
      ...own.plain(),
      send,
    };
    own.call(() => this.#module.open?.(context));
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.#busy) return 0;
    const taken = bytes.slice(start, Math.min(end, start + CHUNK));
    try {
      const result = this.#module.data(taken);
      if (result instanceof Promise) this.#await(result);
    } catch (error) {
      this.#own.fail(error);
    }
    return taken.length;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && this.#input.length > 0) {
      const [first] = this.#input as [Uint8Array];
      const part = first.subarray(0, end - at);
      bytes.set(part, at);
      at += part.length;
      if (part.length < first.length) {
        this.#input[0] = first.subarray(part.length);
      } else this.#input.shift();
    }
    return at - start;
  }

  close(): void {
    this.#own.close();
    this.#module.close?.();
  }

  #await(result: Promise<void>): void {
    this.#busy = true;
    const over = () => {
      this.#busy = false;
      this.#changed();
    };
    whenKept(this.#own.name, result, over, (error) => {
      this.#own.fail(error);
      over();
    });
  }
}
