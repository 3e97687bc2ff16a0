/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The thread that answers page faults with what a function of the user's gives.
 *
 * @module
 */
import { Epoll } from "../../../ffi/epoll.ts";
import { FaultAnswerer, unregister } from "../../../ffi/memory/userfaultfd.ts";
import type { PageFunction, RegionMessage } from "./on_demand.ts";

/** What it begins with. */
export interface PageWorkerStart {
  /** The URL of the module with the function. */
  module: string;
  /** Whose faults these are. */
  uffd: number;
  /** What is where. */
  regions: RegionMessage[];
  /** Its first word is not 0 when there is nothing more to do. */
  stop: Int32Array;
}

/** What it says. */
export type PageWorkerMessage =
  | { type: "ready" }
  | { type: "failed"; message: string };

const PAGE = 4096;
/** How often it looks whether it is to stop, in milliseconds. */
const LOOK_INTERVAL = 100;

/** Pages of one machine. */
class PageServer {
  readonly #answerer: FaultAnswerer;
  readonly #regions: readonly RegionMessage[];
  readonly #source: PageFunction;
  /** Pages that the guest has given back, by their numbers in RAM. */
  readonly #gone: Uint8Array;

  constructor({ uffd, regions }: PageWorkerStart, source: PageFunction) {
    this.#answerer = new FaultAnswerer(uffd);
    this.#regions = regions;
    this.#source = source;
    const size = regions.reduce((sum, region) => sum + region.size, 0);
    this.#gone = new Uint8Array(size / PAGE);
  }

  /** Answers what has come. */
  async turn(): Promise<void> {
    for (const event of this.#answerer.events()) {
      if (event.type === "remove") this.#remove(event.from, event.to);
      else await this.#answer(event.address);
    }
  }

  #remove(from: number, to: number): void {
    for (let address = from; address < to; address += PAGE) {
      const offset = this.#offsetOf(address);
      if (offset !== undefined) this.#gone[offset / PAGE] = 1;
    }
  }

  async #answer(fault: number): Promise<void> {
    const address = fault - fault % PAGE;
    const offset = this.#offsetOf(address);
    if (offset === undefined) return;
    const bytes = this.#gone[offset / PAGE]
      ? undefined
      : await this.#source(offset, PAGE);
    if (bytes !== undefined && bytes.length !== PAGE) {
      throw new Error(`${bytes.length} bytes at ${offset}, not ${PAGE}`);
    }
    for (;;) {
      const done = bytes === undefined
        ? this.#answerer.zero(address, PAGE)
        : this.#answerer.copy(address, bytes);
      if (done) return;
      await this.turn(); // what is in the way: memory that is given back
    }
  }

  #offsetOf(address: number): number | undefined {
    for (const { base_host_virt_addr, size, offset } of this.#regions) {
      const at = address - base_host_virt_addr;
      if (at >= 0 && at < size) return offset + at;
    }
    return undefined;
  }
}

async function serve(start: PageWorkerStart): Promise<void> {
  const { default: source } = await import(start.module);
  if (typeof source !== "function") {
    throw new Error("its default export is no function");
  }
  const server = new PageServer(start, source);
  const epoll = new Epoll();
  epoll.add(start.uffd, 0);
  say({ type: "ready" });
  while (Atomics.load(start.stop, 0) === 0) {
    if (epoll.wait(LOOK_INTERVAL) > 0) await server.turn();
  }
}

function say(message: PageWorkerMessage): void {
  self.postMessage(message);
}

self.onmessage = async ({ data }: MessageEvent<PageWorkerStart>) => {
  try {
    await serve(data);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // First: a guest that goes on without its pages comes to an end of its own.
    if (Atomics.load(data.stop, 0) === 0) say({ type: "failed", message });
    // Whoever waits for a page may be the one who is to hear of this.
    for (const { base_host_virt_addr, size } of data.regions) {
      unregister(data.uffd, base_host_virt_addr, size);
    }
  }
};
