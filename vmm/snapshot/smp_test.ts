/** Four vCPUs that count in RAM are forked, and put back, in the middle of it. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { Counters } from "../testing/counters.ts";
import { TestMachine } from "../testing/mod.ts";

const payload = await readPayload();
const CPUS = 4;
const TIMES = 8;

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
    const counters = await Counters.of(test, `${dir}/parent`, CPUS);
    await counters.moved(Array(CPUS).fill(0n));
    using snapshot = await machine.snapshot({ base: true });
    let first: bigint[] | undefined;
    for (let i = 0; i < TIMES; i++) {
      const path = `${dir}/child${i}`;
      const before = counters.read();
      await using child = await machine.fork({
        "machine-config": config(path),
      });
      const its = counters.in(path);
      const after = its.read();
      after.forEach((count, cpu) => assert.ok(count >= before[cpu]!));
      await its.moved(after);
      await child.pause(); // so that it doesn't count beside all that follows
      await counters.moved(before);

      await machine.pause();
      await machine.reset(snapshot);
      first ??= counters.read();
      assert.deepEqual(counters.read(), first, "where they were");
      await machine.resume();
      await counters.moved(first);
    }
  },
}));
