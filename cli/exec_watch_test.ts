/** A guest that never comes to its commands. */
import assert from "node:assert/strict";
import { ConsoleTail } from "./streams/console_tail.ts";
import { ExecWatch } from "./exec_watch.ts";

/** A guest that uses `share` of a CPU; what the watch does after each second. */
class Watched implements Disposable {
  readonly tail = new ConsoleTail();
  readonly said: string[] = [];
  end: string | undefined;
  share = 1;
  readonly watch: ExecWatch;
  #cpu = 0;

  constructor(memory = 128 << 20, quiet = false) {
    const guest = {
      tail: this.tail,
      memory,
      quiet,
      giveUp: (why: string) => void (this.end = why),
      say: (line: string) => void this.said.push(line),
    };
    this.watch = new ExecWatch(guest, () => this.#cpu);
  }

  says(text: string): void {
    this.tail.push(new TextEncoder().encode(text));
    this.watch.heard();
  }

  /** How many seconds pass until the watch gives up; at most `most`. */
  wait(most: number): number {
    for (let second = 1; second <= most; second++) {
      this.#cpu += this.share;
      this.watch.look();
      if (this.end !== undefined) return second;
    }
    return Infinity;
  }

  [Symbol.dispose](): void {
    this.watch[Symbol.dispose]();
  }
}

Deno.test("ExecWatch: a panicked kernel has three seconds to restart", () => {
  using guest = new Watched();
  assert.equal(guest.wait(20), Infinity);
  guest.says("---[ end Kernel panic - not syncing: VFS: no root ]---\r\n");
  assert.equal(guest.wait(20), 4);
  assert.equal(guest.end, "panicked");
});

Deno.test("ExecWatch: idle and silent for 45 s, or 150 s if it is to be quiet", () => {
  using guest = new Watched();
  guest.share = 0.02;
  assert.equal(guest.wait(44), Infinity);
  guest.says("Waiting for root device /dev/vda...\n");
  assert.equal(guest.wait(44), Infinity);
  // At work in between, it waits for something that comes.
  guest.share = 0.5;
  assert.equal(guest.wait(1), Infinity);
  guest.share = 0.02;
  assert.equal(guest.wait(100), 45);
  assert.equal(guest.end, "was idle and silent for 45 s");
  using quiet = new Watched(undefined, true);
  quiet.share = 0.02;
  assert.equal(quiet.wait(1000), 150);
  assert.deepEqual(quiet.said, [
    "the guest is idle, and has said nothing for 60 s",
    "the guest is idle, and has said nothing for 120 s",
  ]);
});

Deno.test("ExecWatch: busy and silent: a line each minute, and an end", () => {
  using guest = new Watched();
  assert.equal(guest.wait(10_000), 630);
  assert.equal(guest.end, "said nothing for 630 s");
  assert.equal(guest.said.length, 10);
  assert.equal(
    guest.said[0],
    "the guest is busy, and has said nothing for 60 s",
  );
  using large = new Watched(64 * 2 ** 30);
  assert.equal(large.wait(10_000), 600 + 64 * 30);
});
