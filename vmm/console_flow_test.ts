/** Neither end of the console outruns the other, and nothing is lost. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { Machine } from "./machine.ts";
import type { MachineOptions } from "./machine_options.ts";
import { until } from "../ffi/testing/until.ts";
import { COUNTS, HI, READS } from "./testing/tiny_guest.ts";

/** What a serial port holds each way, in bytes. */
const RING = 64 * 1024;

function machineWith(
  kernel: Uint8Array<ArrayBuffer>,
  options: MachineOptions,
): Promise<Machine> {
  return Machine.create({
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8 },
  }, options);
}

/** What a machine has printed, to a reader that takes its time. */
class SlowReader {
  readonly chunks: Uint8Array[] = [];
  #done = Promise.withResolvers<void>();

  readonly onOutput = (bytes: Uint8Array): Promise<void> => {
    this.chunks.push(bytes);
    return this.#done.promise;
  };

  /** It takes the next chunk. */
  next(): void {
    this.#done.resolve();
    this.#done = Promise.withResolvers();
  }
}

Deno.test(needing([KVM], {
  name:
    "Machine: while onOutput's promise waits, so does the guest; pause, resume and stop don't",
  async fn() {
    const reader = new SlowReader();
    const { chunks } = reader;
    await using machine = await machineWith(COUNTS, reader);
    machine.start();
    await until(() => chunks.length === 1, "output");
    // An exit for each byte, and one more that waits.
    const full = chunks[0]!.length + RING + 1;
    await until(() => machine.exits === full, "end", () => machine.exits);
    assert.equal(chunks.length, 1, "nobody has asked for more");
    await machine.pause();
    assert.equal(machine.state, "paused");
    await machine.resume();
    reader.next();
    await until(() => chunks.length === 2, "more output");
    assert.equal(chunks[1]!.length, RING, "all that had found room");
    const end = machine.stop();
    assert.equal((await end).reason, "stopped");
    const first = chunks[0]![0]!;
    const all = chunks.flatMap((bytes) => [...bytes]);
    const wrong = all.findIndex((byte, at) => byte !== (first + at & 0xff));
    assert.equal(wrong, -1, `of ${all.length}`);
    reader.next();
    await new Promise((done) => setTimeout(done));
    assert.equal(all.length, chunks.flatMap((b) => [...b]).length);
  },
}));

Deno.test(needing([KVM], {
  name:
    "Machine.input: a promise when the guest is full, which resolves with room, or at the end",
  async fn(t) {
    await t.step("a guest that reads", async () => {
      await using machine = await machineWith(READS, {});
      machine.start();
      const chunk = new Uint8Array(3000);
      let sent = 0;
      let room: Promise<void> | undefined;
      while (room === undefined) {
        room = machine.input(chunk);
        sent += chunk.length;
      }
      assert.ok(sent > RING, `full at ${sent}`);
      await room;
      assert.equal(machine.input(chunk), undefined);
    });
    await t.step("a guest that reads nothing, and ends", async () => {
      const machine = await machineWith(HI, {});
      machine.start();
      assert.equal(machine.input(new Uint8Array(RING)), undefined);
      const room = machine.input(new Uint8Array(1));
      assert.ok(room instanceof Promise);
      let told = false;
      room.then(() => told = true);
      await new Promise((done) => setTimeout(done, 50));
      assert.equal(told, false);
      await machine.stop();
      await room;
      assert.equal(machine.input(new Uint8Array(1)), undefined);
    });
  },
}));
