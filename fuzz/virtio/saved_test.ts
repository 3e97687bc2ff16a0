/** Saved devices that are not what was saved: refused in a line, or working. */
import assert from "node:assert/strict";
import { VireoError } from "../../ffi/error.ts";
import { MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { Random } from "../../guest/testing/random.ts";
import type { SavedDevice } from "../../devices/virtio/device.ts";
import { MockDriver } from "../../devices/virtio/testing/mod.ts";
import { save } from "../../devices/virtio/testing/saved.ts";
import {
  DeviceWord,
  queueWord,
} from "../../devices/virtio/transport/device_state.ts";
import type { MakeSubject } from "./subject.ts";
import { SUBJECTS } from "./subjects.ts";

const RAM = 4 * MiB;
const SEEDS = 20;
const MUTATIONS = 25;
/** In the place of anything in a state that came from a file. */
const ODD: readonly unknown[] = [
  ...[0, 1, -1, 1.5, 7, 0x8000, 0xffff, 2 ** 31, 2 ** 32, 2 ** 53, 1e300],
  ...[RAM - 16, RAM, 0xd000_0000, 2 ** 64, NaN, Infinity],
  ...[null, undefined, true, "", "7", [], {}, [[]], "x".repeat(99)],
];

/** A device in the middle of its work, saved. */
function saved(
  make: MakeSubject,
  memory: GuestMemory,
  seed: number,
  packed: boolean,
): SavedDevice {
  const random = new Random(seed);
  using subject = make(memory, random);
  using driver = new MockDriver(subject.device, { memory, packed });
  driver.start({ queueSize: 16 });
  for (let step = 0; step < 20; step++) {
    if (random.oneIn(4)) subject.host(random);
    const ring = random.of(driver.rings);
    const parts = subject.request(random, ring.index)
      .filter((part) => typeof part === "number" || part.length > 0);
    ring.add(
      parts.map((part) =>
        typeof part === "number" ? driver.room(part) : driver.buffer(part)
      ),
    );
    driver.ring(ring.index);
  }
  const once = save(driver);
  assert.deepEqual(save(driver), once, "twice in one pause");
  return once;
}

/** Something somewhere in `value` is another thing. */
function mutated(random: Random, value: unknown): unknown {
  if (typeof value !== "object" || value === null || random.oneIn(20)) {
    return random.of(ODD);
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return random.of(ODD);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<
    string,
    unknown
  >;
  const key = random.of(keys);
  if (random.oneIn(20)) delete copy[key];
  else copy[key] = mutated(random, copy[key]);
  return copy;
}

/** The same of bytes: most of them in the registers, few in the rest. */
function spoiled(random: Random, page: Uint8Array): unknown {
  if (random.oneIn(30)) return random.of([...ODD, page.slice(1)]);
  const copy = page.slice();
  const words = new Int32Array(copy.buffer);
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.of([
      random.of(Object.values(DeviceWord)),
      queueWord(0, random.below(64)),
      random.below(words.length),
    ]);
    const bit = 1 << random.below(32);
    words[at] = random.of([words[at]! ^ bit, random.below(2 ** 32), 0, 1, -1]);
  }
  return copy;
}

function change(random: Random, { page, ...rest }: SavedDevice): SavedDevice {
  return random.oneIn(2)
    ? { ...rest, page: spoiled(random, page) } as SavedDevice
    : { page, ...mutated(random, rest) as Omit<SavedDevice, "page"> };
}

/** What it was refused with; undefined: it goes on, and works. */
function restored(
  make: MakeSubject,
  memory: GuestMemory,
  seed: number,
  packed: boolean,
  state: SavedDevice,
): string | undefined {
  const random = new Random(seed);
  using subject = make(memory, random);
  using driver = new MockDriver(subject.device, { memory, packed });
  try {
    driver.activated.restore(state);
    driver.activated.resume();
  } catch (error) {
    assert.ok(error instanceof VireoError, (error as Error).stack);
    assert.match(error.message, /^[^\n]{1,150}$/);
    return error.message;
  }
  driver.turn();
  for (let index = 0; index < driver.activated.queues.length; index++) {
    driver.ring(index);
    subject.host(random);
    driver.turn();
  }
  driver.activated.save();
  driver.activated.resume();
  driver.start();
  subject.prove(driver);
}

for (const [name, make] of Object.entries(SUBJECTS)) {
  Deno.test(`fuzz: ${name} as saved, ${SEEDS * MUTATIONS} times changed`, () => {
    using memory = GuestMemory.allocate(RAM, { hugePages: false });
    const refused = new Set<string>();
    let worked = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const packed = seed % 2 === 0;
      const good = saved(make, memory, seed, packed);
      assert.equal(restored(make, memory, seed, packed, good), undefined);
      const random = new Random(seed);
      for (let i = 0; i < MUTATIONS; i++) {
        const state = change(random, good);
        const line = restored(make, memory, seed, packed, state);
        if (line === undefined) worked++;
        else refused.add(line);
      }
    }
    assert.ok(worked > 0 && refused.size > 3, [...refused].join("\n"));
  });
}
