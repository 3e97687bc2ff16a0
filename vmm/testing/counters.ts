/** The payload's `smp=N ap=count`, seen from outside: RAM is in a file. */
import assert from "node:assert/strict";
import { until } from "../../ffi/testing/until.ts";
import type { TestMachine } from "./mod.ts";

const LINE = 64; // bytes: each vCPU counts in a line of the cache of its own

/** How far each vCPU of a machine whose memory file is at `path` has counted. */
export class Counters {
  readonly #path: string;
  readonly #address: number;
  readonly #cpus: number;

  private constructor(path: string, address: number, cpus: number) {
    this.#path = path;
    this.#address = address;
    this.#cpus = cpus;
  }

  /** Waits until the guest has said where its `cpus` counters are. */
  static async of(
    test: TestMachine,
    path: string,
    cpus: number,
  ): Promise<Counters> {
    // With the line's end: half an address is one, too.
    const line = /counters at (0x[0-9a-f]+)\n/;
    await test.printed(line);
    const [, address] = line.exec(test.output)!;
    return new Counters(path, Number(address), cpus);
  }

  /** The same counters in a fork, whose memory file is at `path`. */
  in(path: string): Counters {
    return new Counters(path, this.#address, this.#cpus);
  }

  /** One count for each vCPU. */
  read(): bigint[] {
    using file = Deno.openSync(this.#path);
    file.seekSync(this.#address, Deno.SeekMode.Start);
    const bytes = new Uint8Array(LINE * this.#cpus);
    assert.equal(file.readSync(bytes), bytes.length);
    const view = new DataView(bytes.buffer);
    return Array.from(
      { length: this.#cpus },
      (_, i) => view.getBigUint64(LINE * i, true),
    );
  }

  /** Waits until every vCPU has counted beyond `before`. */
  async moved(before: bigint[] = this.read()): Promise<void> {
    await until(
      () => this.read().every((count, i) => count > before[i]!),
      `count of each vCPU beyond ${before}`,
      () => this.read(),
    );
  }
}
