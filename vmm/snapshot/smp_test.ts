/** Four vCPUs that count in RAM are forked, and put back, in the middle of it. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { TestMachine } from "../testing/mod.ts";

const payload = await readPayload();
const CPUS = 4;
const TIMES = 8;

/** The counters in a guest's memory, which is in a file. */
class Counters {
  readonly #path: string;
  readonly #address: number;

  constructor(path: string, output: string) {
    const [, address = ""] = /counters at (0x[0-9a-f]+)/.exec(output) ?? [];
    this.#path = path;
    this.#address = Number(address);
  }

  /** One for each vCPU, each in a line of the cache. */
  read(): number[] {
    using file = Deno.openSync(this.#path, { read: true });
    file.seekSync(this.#address, Deno.SeekMode.Start);
    const bytes = new Uint8Array(64 * CPUS);
    assert.equal(file.readSync(bytes), bytes.length);
    const view = new DataView(bytes.buffer);
    return Array.from(
      { length: CPUS },
      (_, i) => Number(view.getBigUint64(64 * i, true)),
    );
  }

  /** Waits until each is greater than in `before`. */
  async counted(before: number[]): Promise<void> {
    await until(
      () => this.read().every((count, i) => count > before[i]!),
      "progress of all",
      () => `${before} then ${this.read()}`,
    );
  }
}

Deno.test(needing([KVM], {
  name:
    `snapshots: ${CPUS} vCPUs that count are forked and put back ${TIMES} times`,
  async fn() {
    const dir = Deno.makeTempDirSync({
      dir: "/dev/shm",
      prefix: "vireo-test-",
    });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    const config = (memory_file: string) => ({
      mem_size_mib: 16,
      vcpu_count: CPUS,
      memory_file,
    });
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: payload,
        boot_args: `smp=${CPUS} ap=count`,
      },
      "machine-config": config(`${dir}/parent`),
    });
    const { machine } = test;
    machine.start();
    await test.printed("counters at 0x");
    await test.printed("\n");
    const counters = new Counters(`${dir}/parent`, test.output);
    await counters.counted(Array(CPUS).fill(0));
    using snapshot = await machine.snapshot({ base: true });
    let first: number[] | undefined;
    for (let i = 0; i < TIMES; i++) {
      const path = `${dir}/child${i}`;
      const before = counters.read();
      await using _child = await machine.fork({
        "machine-config": config(path),
      });
      const its = new Counters(path, test.output);
      const after = its.read();
      after.forEach((count, cpu) => assert.ok(count >= before[cpu]!));
      await its.counted(after);
      await counters.counted(before);

      await machine.pause();
      await machine.reset(snapshot);
      first ??= counters.read();
      assert.deepEqual(counters.read(), first, "where they were");
      await machine.resume();
      await counters.counted(first);
    }
  },
}));
