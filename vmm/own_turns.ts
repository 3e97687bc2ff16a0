/**
 * How the device worker waits when modules of the user's run on it: Deno's
 * event loop turns meanwhile, so that their promises are kept. Loaded for a
 * machine that has such a module.
 *
 * @module
 */
import type { EventLoop } from "../devices/runtime/event_loop.ts";
import { failureOf } from "../devices/runtime/load_module.ts";
import { whoPromised } from "../devices/own/outstanding.ts";
import { Poll, pollFd } from "../ffi/poll.ts";

/** Milliseconds that a pause waits for promises. */
const PATIENCE = 2000;
/** Milliseconds between two looks meanwhile. */
const LOOK = 1;

/** The turns of one machine's device worker. */
export class OwnTurns implements Disposable {
  readonly #fd: number;
  readonly #window: number;
  readonly #log: (message: string) => void;
  #until = 0; // work is expected
  #over = false;

  /**
   * Sleeps until `fd` is readable.
   *
   * @param microseconds how long to look for more work after the last
   * @param log hears of promises that nobody looks after
   */
  constructor(
    fd: number,
    microseconds: number,
    log: (message: string) => void,
  ) {
    this.#fd = fd;
    this.#window = microseconds / 1000;
    this.#log = log;
    addEventListener("unhandledrejection", this.#rejected);
    addEventListener("error", this.#uncaught);
  }

  /**
   * One turn of Deno's event loop. Without work it sleeps.
   *
   * @param worked there was work just now
   * @param enable asks for notifications; true when there is work after all
   */
  async turn(worked: boolean, enable: () => boolean): Promise<void> {
    const now = performance.now();
    if (worked) this.#until = now + this.#window;
    if (worked || now < this.#until || enable()) await immediate();
    else await pollFd(this.#fd, Poll.IN);
  }

  /** Turns until modules have kept their promises, but not for ever. */
  async settle(goesOn: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (whoPromised().length > 0 && goesOn()) {
      if (performance.now() > deadline) {
        const who = whoPromised().join(", ");
        return this.#log(
          `${who}: a promise is not kept after ${PATIENCE / 1000} s; ` +
            "the machine pauses all the same",
        );
      }
      await new Promise((look) => setTimeout(look, LOOK));
    }
  }

  /** A turn of `loop` while nothing but promises goes on. */
  async rest(loop: EventLoop): Promise<void> {
    const promises = whoPromised().length > 0;
    if (promises) await new Promise((look) => setTimeout(look, LOOK));
    loop.turn(promises ? 0 : -1);
  }

  /** Tells no more. What fails while the worker ends still does no harm. */
  [Symbol.dispose](): void {
    this.#over = true;
  }

  readonly #rejected = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    this.#tell(event.reason);
  };

  readonly #uncaught = (event: ErrorEvent) => {
    event.preventDefault();
    this.#tell(event.error);
  };

  #tell(error: unknown): void {
    if (this.#over) return;
    const [, url = ""] = /\(?(\w+:[^\s()]+):\d+:\d+\)?/.exec(
      error instanceof Error ? error.stack ?? "" : "",
    ) ?? [];
    this.#log(`a module of yours: ${failureOf(error, url || "\0")}`);
  }
}

function immediate(): Promise<void> {
  return new Promise((go) => setImmediate(go));
}
