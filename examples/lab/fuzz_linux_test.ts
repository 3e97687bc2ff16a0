/** Linux's own driver is fuzzed, from its probe on. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { Fuzzer } from "../../lab.ts";
import { linuxDriver } from "./fuzz_linux.ts";

/** Far off: a try that the host holds up is to end as any other. */
const milliseconds = 600_000;
/** Where a virtio device's own configuration begins: a network's address. */
const CONFIG = 0x100;

Deno.test(needing([KVM, LINUX], {
  name:
    "Fuzzer: a whole probe of Linux's virtio-net, which believes its device",
  async fn() {
    const [saved, options] = await linuxDriver("net");
    using snapshot = saved;
    using fuzzer = await Fuzzer.of(snapshot, {
      ...options,
      input: options.input!.replace(
        "; echo done",
        "; read address </sys/class/net/eth0/address; echo $address done",
      ),
      until: { text: /done$/, milliseconds },
    });
    const honest = fuzzer.replay([]);
    assert.equal(honest.end, "text", honest.output);
    assert.match(honest.output, /^02:00:00:00:00:01 done/m);
    assert.ok(honest.accesses > 30, `${honest.accesses} accesses`);
    const answer = honest.answers.findIndex(({ kind, at }) =>
      kind === "register" && at === CONFIG + 5
    );
    const lied = fuzzer.replay([{ answer, offset: 0, bytes: [0x77] }]);
    assert.match(lied.output, /^02:00:00:00:00:77 done/m);
    const report = await fuzzer.run({ seed: 1, tries: 10 });
    assert.equal(report.tries, 10);
    assert.ok(report.seen > honest.accesses / 4, `${report.seen} seen`);
    assert.equal(fuzzer.replay([]).output, honest.output, "as it was");
  },
}));
