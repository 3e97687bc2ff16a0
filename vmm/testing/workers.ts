/**
 * For tests: other workers than those that a machine asks for.
 *
 * @module
 */
import type { DeviceWorkerStart } from "../messages.ts";

type Listener = ((event: { data: unknown }) => void) | undefined;

/**
 * Until it is disposed of, machines get workers without a thread, which do
 * nothing and say that they are ready, and stopped.
 */
export class FakeWorkers implements Disposable {
  /** Those that were not terminated. */
  living = 0;
  /** What a device worker was told. */
  deviceStart: DeviceWorkerStart | undefined;
  readonly #real = globalThis.Worker;

  /** After `left` of them there are no more threads. */
  constructor(left = Infinity) {
    // deno-lint-ignore no-this-alias
    const all = this;
    globalThis.Worker = class {
      onmessage: Listener;
      readonly #ofDevices: boolean;
      #living = true;

      constructor(url: URL) {
        if (left-- <= 0) throw new Error("no more threads");
        this.#ofDevices = url.href.endsWith("/device_worker.ts");
        all.living++;
      }

      postMessage(message: unknown): void {
        if (this.#ofDevices) all.deviceStart = message as DeviceWorkerStart;
        for (const type of ["ready", "stopped"]) {
          queueMicrotask(() => this.onmessage?.({ data: { type } }));
        }
      }

      terminate(): void {
        if (this.#living) all.living--;
        this.#living = false;
      }
    } as unknown as typeof Worker;
  }

  /** Machines get what they ask for again. */
  [Symbol.dispose](): void {
    globalThis.Worker = this.#real;
  }
}

/** Until it is disposed of, workers of one kind have another entry point. */
export class WorkersInstead implements Disposable {
  readonly #real = globalThis.Worker;

  /** `url`, with the name `name`, instead of what ends with `entry`. */
  constructor(entry: string, url: URL, name?: string) {
    globalThis.Worker = class extends this.#real {
      constructor(asked: string | URL, options?: WorkerOptions) {
        const other = String(asked).endsWith(`/${entry}`);
        super(other ? url : asked, other ? { ...options, name } : options);
      }
    };
  }

  /** Machines get what they ask for again. */
  [Symbol.dispose](): void {
    globalThis.Worker = this.#real;
  }
}

/** In workers with this entry point, system call `n` fails. */
export function failing(entry: string, n: number): WorkersInstead {
  const url = new URL(`./failing_${entry}`, import.meta.url);
  return new WorkersInstead(entry, url, String(n));
}
