/** The examples of docs/lab.md do what is said of them there. */
import assert from "node:assert/strict";
import { OwnCode } from "../../devices/own/code.ts";
import { guarded } from "../../devices/virtio/own_device.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import { TestMachine } from "../../vmm/testing/mod.ts";
import { MockDriver } from "../../devices/virtio/testing/mod.ts";
import type { OwnEvent } from "../../mod.ts";
import Drip from "./drip.ts";

/** For devices without a machine: `told` is what they log and emit. */
function code(name: string, told: unknown[]): OwnCode {
  return new OwnCode(name, import.meta.url, {
    memory: undefined!,
    vmFd: -1,
    console: undefined!,
    log: (line) => told.push(line),
    emit: (event) => told.push(event),
  });
}

Deno.test("lab: the dripping entropy device gives its bytes by the clock, and tells", () => {
  const told: OwnEvent[] = [];
  const drip = new Drip({ bytes: 4, ms: 1 });
  using driver = new MockDriver(guarded(drip, code("drip", told)));
  driver.start();
  const queue = driver.queues[0]!;
  const heads = [queue.add([driver.room(16)]), queue.add([driver.room(16)])];
  driver.ring(0);
  assert.equal(queue.poll(), -1, "not yet");
  driver.until(() => told.length === 2, "two drops");
  for (const head of heads) {
    assert.equal(queue.poll(), head);
    assert.equal(queue.usedLength, 4);
  }
  assert.deepEqual(
    told.map(({ device, name, data }) => [device, name, data]),
    Array(2).fill(["drip", "drop", { bytes: 4 }]),
  );
  driver.reset();
});

const example = (name: string) => import.meta.resolve(`./${name}`);

Deno.test(needing([KVM], {
  name: "lab: a counter on the vCPU and a panel of LEDs, by ports",
  async fn() {
    const kernel = buildElf({
      segments: [{
        address: 0x10_0000n,
        bytes: Uint8Array.of(
          ...[0x66, 0xba, 0x00, 0x03, 0xee, 0xee, 0xec], // dx = 0x300; out, out, in
          ...[0x04, 0x7f, 0x66, 0xba, 0x08, 0x03, 0xee], // al += 0x7f; to 0x308
          ...[0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe], // reset
        ),
      }],
    });
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: kernel, boot_args: "" },
      "machine-config": { mem_size_mib: 8 },
      "bus-devices": [
        { module: example("leds.ts"), name: "leds", port: 1, address: 0x308 },
        {
          ...{ module: example("counter.ts"), port: 1, address: 0x300 },
          ...{ thread: "vcpu", shared: 4 },
        },
      ],
    });
    const { end, log } = await test.run();
    assert.equal(end.reason, "reset", end.message);
    assert.deepEqual(log, ["leds: ● ○ ○ ○ ○ ○ ○ ●"]);
    assert.deepEqual(test.events.map(({ data }) => data), [0x81]);
  },
}));

Deno.test("lab: docs/lab.md shows the files as they are, each in 30 lines of code at most", () => {
  const text = Deno.readTextFileSync(
    new URL("../../docs/lab.md", import.meta.url),
  );
  const shown = [
    ...text.matchAll(/^`examples\/lab\/(\S+)`:\n\n```ts\n(.*?)```/gms),
  ];
  assert.ok(shown.length > 0);
  for (const [, name, code] of shown) {
    const url = new URL(name!, import.meta.url);
    assert.equal(code, Deno.readTextFileSync(url), name);
    const lines = code!.split("\n").filter((line) =>
      /^(?!\/\*\*|import )./.test(line)
    );
    assert.ok(lines.length <= 30, `${name} has ${lines.length} lines`);
  }
});
