/**
 * Programs that are measured: with machines, or with empty workers.
 *
 * @module
 */
import { join } from "node:path";
import { GUEST_ADDRESS, HOST_ADDRESS, Network, TAP } from "../paths/network.ts";
import { type Memory, VmmProcess } from "../paths/process.ts";
import { CHECKOUT, PAYLOAD } from "../paths/vireo.ts";
import type { Program } from "./program.ts";

/** MiB of each guest. */
export const RAM = 64;
const TIMEOUT = 60_000;
const EMPTY = join(CHECKOUT, "bench", "paths", "empty.ts");
/** How long a program idles before its memory is looked at, in ms. */
const SETTLED = 8000;

function program(path: string, ...args: string[]): VmmProcess {
  const deno = Deno.execPath();
  return new VmmProcess([deno, "run", "-A", "--cached-only", path, ...args]);
}

/** Machines of one process, each with a disk and a network of its own. */
export class Machines implements AsyncDisposable {
  readonly #parts: AsyncDisposableStack;
  readonly #process: VmmProcess;
  readonly #machines: number;

  private constructor(
    parts: AsyncDisposableStack,
    process: VmmProcess,
    machines: number,
  ) {
    this.#parts = parts;
    this.#process = process;
    this.#machines = machines;
  }

  /**
   * Begins as many as there are `words`, which tell the payload what to do.
   *
   * @param disk an image, which they share for reading
   */
  static async begin(
    words: readonly string[],
    disk: string,
    rest: Partial<Program> = {},
    checkout: string = CHECKOUT,
  ): Promise<Machines> {
    await using parts = new AsyncDisposableStack();
    const configs: Program["configs"] = [];
    for (const own of words) {
      const { netns } = parts.use(await Network.create());
      const addresses = `ip=${GUEST_ADDRESS} peer=${HOST_ADDRESS}`;
      configs.push({
        "boot-source": {
          kernel_image_path: PAYLOAD,
          boot_args: `${own} ${addresses}`,
        },
        "machine-config": { mem_size_mib: RAM },
        drives: [{
          drive_id: "scratch",
          path_on_host: disk,
          is_root_device: false,
          is_read_only: true,
        }],
        "network-interfaces": [{ iface_id: "eth0", host_dev_name: TAP, netns }],
      });
    }
    const argument = JSON.stringify({ configs, ...rest });
    const path = join(checkout, "bench", "machines", "program.ts");
    const process = parts.use(program(path, argument));
    return new Machines(parts.move(), process, words.length);
  }

  /** Result `nth` of the machine of this number; from 1 on. */
  async result(machine: number, nth: number): Promise<string> {
    const pattern = new RegExp(`^${machine}: bench: name=`);
    for (;;) {
      const { text } = await this.#process.line(pattern, TIMEOUT);
      if (--nth === 0) return text;
    }
  }

  /** Memory beside the guests' RAM, once all of them have done something. */
  async memory(): Promise<Memory> {
    const silent = new Set(Array(this.#machines).keys());
    while (silent.size > 0) {
      const { text } = await this.#process.line(/^\d+: bench: name=/, TIMEOUT);
      silent.delete(parseInt(text));
    }
    await new Promise((done) => setTimeout(done, SETTLED));
    return this.#process.memory(RAM, this.#machines);
  }

  /** Ends them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

/** Memory of a program that has only so many workers. */
export async function emptyMemory(workers: number): Promise<Memory> {
  await using process = program(EMPTY, `${workers}`, "stay");
  await process.line(/^ready/, TIMEOUT);
  await new Promise((done) => setTimeout(done, SETTLED));
  return process.memory(RAM, 0);
}
