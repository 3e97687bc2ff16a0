/** Where instructions that KVM refuses are answered, and what is loaded for it. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import { knownHost } from "../probe/known_host.ts";
import type { MachineEnd, WorkerMessage } from "./messages.ts";
import { emulationFor, emulationOfHost, type StepCounts } from "./refused.ts";

const PROGRAM = new URL("./testing/one_vcpu.ts", import.meta.url).pathname;
const EMULATE = new URL("../emulate/", import.meta.url);

/** One vCPU's worker, in a process that may not read `unreadable`. */
async function oneVcpu(
  emulation?: string,
  unreadable?: URL,
): Promise<{ end?: MachineEnd; counts?: StepCounts }> {
  const deny = unreadable ? [`--deny-read=${unreadable.pathname}`] : [];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", ...deny, PROGRAM, ...emulation ? [emulation] : []],
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.ok(text, new TextDecoder().decode(stderr));
  const messages: WorkerMessage[] = JSON.parse(text);
  let end, counts;
  for (const message of messages) {
    if (message.type === "end") end = message.end;
    if (message.type === "stopped") counts = message.steppedPast;
  }
  return { end, counts };
}

Deno.test("a KVM with VMX or SVM needs no emulation, any other does", () => {
  assert.equal(emulationFor({ isHardwareAssisted: true }), undefined);
  const module = new URL("mod.ts", EMULATE).href;
  assert.equal(emulationFor({ isHardwareAssisted: false }), module);
});

Deno.test(needing([KVM], {
  name: "a host that emulates kernel mode is one that needs it",
  async fn() {
    const { emulatesKernel } = await knownHost(cacheFolder());
    if (emulatesKernel) assert.notEqual(emulationOfHost(), undefined);
  },
}));

Deno.test(needing([KVM], {
  name: "a vCPU's worker loads nothing of emulate where it isn't needed",
  async fn() {
    // The same process can't load it when it's told to: so it didn't here.
    const needed = emulationOfHost() !== undefined;
    const { end, counts } = await oneVcpu(undefined, EMULATE);
    assert.equal(counts, undefined);
    if (needed) {
      assert.match(
        end?.message ?? "",
        /^vCPU 0: KVM can't emulate the instruction 9b .* at RIP 0x1000\nrax /,
      );
    } else {
      assert.deepEqual(end, { reason: "reset" });
    }
    const told = await oneVcpu(
      emulationFor({ isHardwareAssisted: false }),
      EMULATE,
    );
    assert.match(told.end?.message ?? "", /Requires read access.*emulate/);
  },
}));

Deno.test(needing([KVM], {
  name: "a vCPU's worker answers refused instructions and LSTAR's exit",
  async fn() {
    const { end, counts } = await oneVcpu(
      emulationFor({ isHardwareAssisted: false }),
    );
    assert.deepEqual(end, { reason: "reset" });
    assert.deepEqual(counts, emulationOfHost() ? { FWAIT: 1 } : {});
  },
}));
