/**
 * 32 CPUs that count in RAM are saved, restored, forked and put back.
 *
 * @module
 */
import assert from "node:assert/strict";
import { KVM } from "../../../ffi/testing/needs.ts";
import { readPayload } from "../../../images/payload/payload.ts";
import { Machine } from "../../../vmm/machine.ts";
import { Counters } from "../../../vmm/testing/counters.ts";
import { TestMachine } from "../../../vmm/testing/mod.ts";
import { type Campaign, Folder, spread } from "./campaign.ts";

const CPUS = 32;

/** A machine of as many CPUs as there may be. */
export const CPUS_32: Campaign = {
  rounds: 10,
  needs: [KVM],
  async run(rounds, say) {
    using folder = new Folder();
    const its = (memory: string) => ({
      "machine-config": {
        mem_size_mib: 16,
        vcpu_count: CPUS,
        memory_file: `${folder.path}/${memory}`,
      },
    });
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: `smp=${CPUS} ap=count`,
      },
      ...its("parent"),
    });
    const { machine } = test;
    machine.start();
    const parent = await Counters.of(test, `${folder.path}/parent`, CPUS);
    const countersOf = (memory: string) =>
      parent.in(`${folder.path}/${memory}`);
    await parent.moved(Array(CPUS).fill(0n));
    using point = await machine.snapshot({ base: true });
    const pauses: number[] = [];
    let first: bigint[] | undefined;
    for (let round = 1; round <= rounds; round++) {
      const before = parent.read();
      const begun = performance.now();
      using snapshot = await machine.snapshot();
      pauses.push(performance.now() - begun);
      snapshot.save(`${folder.path}/saved`);
      await machine.pause();
      await goesOn(
        await Machine.restore(`${folder.path}/saved`, its("restored")),
        countersOf("restored"),
        before,
      );
      await goesOn(
        await machine.fork(its("forked")),
        countersOf("forked"),
        before,
      );
      await machine.reset(point);
      first ??= parent.read();
      assert.deepEqual(parent.read(), first, "where they were");
      await machine.resume();
      await parent.moved(first);
      say(`round ${round}: counters from ${before[0]}`);
    }
    return `saved, restored, forked and put back, all ${CPUS} counters go on ` +
      `each time; a snapshot of the running machine ${spread(pauses)} ms`;
  },
};

/** All counters of a twin go on from where they were, or later. */
async function goesOn(
  twin: Machine,
  counters: Counters,
  before: bigint[],
): Promise<void> {
  await using machine = twin;
  if (machine.state === "created") machine.start();
  const there = counters.read();
  there.forEach((count, cpu) => assert.ok(count >= before[cpu]!, `${cpu}`));
  await counters.moved(there);
}
