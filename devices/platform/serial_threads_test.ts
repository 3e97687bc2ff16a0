import assert from "node:assert/strict";
import { until } from "../../ffi/testing/until.ts";
import { ByteRing } from "../runtime/byte_ring.ts";
import { Reg } from "./serial_registers.ts";
import { RING_CAPACITY, SerialState } from "./serial_state.ts";
import { Control, type Task, TestPort } from "./testing/serial.ts";

const PATIENCE_MS = 600_000;

/** vCPU threads on one port; the test is the main isolate. */
class Threads implements Disposable {
  readonly port = new TestPort();
  readonly control = new Int32Array(new SharedArrayBuffer(64));
  readonly #workers: Worker[] = [];

  /** Starts a thread; the promise is of its end. */
  start(name: Task["name"], count: number): {
    done: Promise<void>;
    received: Uint8Array;
  } {
    const id = this.#workers.length;
    const received = new SharedArrayBuffer(count);
    const url = new URL("./testing/serial_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    this.#workers.push(worker);
    const done = new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => reject(new Error(event.message));
    });
    const task: Task = {
      name,
      shared: this.port.shared,
      control: this.control.buffer,
      count,
      id,
      received,
    };
    worker.postMessage(task);
    return { done, received: new Uint8Array(received) };
  }

  /** Waits until `control[word]` is not `value` any more. */
  async changed(word: number, value: number): Promise<void> {
    const wait = Atomics.waitAsync(this.control, word, value, PATIENCE_MS);
    if (await wait.value === "timed-out") throw new Error("nobody called");
  }

  /** Waits until the output ring is full, and a little longer. */
  async full(): Promise<void> {
    const { output } = new SerialState(this.port.shared);
    await until(() => output.free === 0, "full ring", () => output.length);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Drains until `count` bytes are there; sleeps whenever there are none. */
  async drain(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    for (let length = 0; length < count;) {
      const signals = Atomics.load(this.control, Control.SIGNALS);
      const batch = this.port.serial.drainOutput();
      bytes.set(batch, length);
      length += batch.length;
      if (batch.length === 0) await this.changed(Control.SIGNALS, signals);
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
  }
}

/** Checks that the bytes of `id` are in order, and returns their number. */
function inOrder(bytes: Uint8Array, id: number): number {
  let next = 0;
  for (const byte of bytes) {
    if (byte >> 7 !== id) continue;
    assert.equal(byte & 0x7f, next & 0x7f, `byte ${next} of thread ${id}`);
    next++;
  }
  return next;
}

Deno.test("Serial: a thread that fills the output ring waits, and no byte is lost", async () => {
  using threads = new Threads();
  const count = 4 * RING_CAPACITY;
  const { done } = threads.start("transmit", count);
  await threads.full();
  assert.equal(Atomics.load(threads.control, Control.FINISHED), 0);
  const bytes = await threads.drain(count);
  await done;
  assert.equal(inOrder(bytes, 0), count);
});

Deno.test("Serial: a batch of output calls the reader once", () => {
  const port = new TestPort();
  for (let i = 0; i < 100; i++) port.write(Reg.DATA, 0x61);
  assert.equal(port.outputSignals, 1);
  assert.equal(port.printed().length, 100);
  port.write(Reg.DATA, 0x62);
  assert.equal(port.outputSignals, 2);
});

Deno.test("Serial: output that comes while the reader drains calls it again", () => {
  const port = new TestPort();
  const other = new TestPort(port.shared);
  port.write(Reg.DATA, 0x61);
  const popAll = ByteRing.prototype.popAll;
  ByteRing.prototype.popAll = function (): Uint8Array<ArrayBuffer> {
    const bytes = popAll.call(this);
    // Where a vCPU thread does the most harm: after the look into the ring.
    other.write(Reg.DATA, 0x62);
    return bytes;
  };
  try {
    assert.equal(port.printed(), "a");
  } finally {
    ByteRing.prototype.popAll = popAll;
  }
  assert.equal(other.outputSignals, 1);
  assert.equal(port.printed(), "b");
});

Deno.test("Serial: a machine that stops frees a thread that waits for room", async () => {
  using threads = new Threads();
  const { done } = threads.start("transmit", 2 * RING_CAPACITY);
  await threads.full();
  assert.equal(Atomics.load(threads.control, Control.FINISHED), 0);
  Atomics.store(threads.control, Control.STOP, 1);
  await done;
  assert.equal(threads.port.printed().length, RING_CAPACITY);
});

Deno.test("Serial: two threads at all registers leave the port consistent", async () => {
  using threads = new Threads();
  const count = 20_000;
  const ends = [0, 1].map(() => threads.start("everything", count).done);
  const bytes = await threads.drain(2 * count);
  await Promise.all(ends);
  assert.equal(inOrder(bytes, 0), count);
  assert.equal(inOrder(bytes, 1), count);
  // Both end with the same values in the registers.
  const last = count - 1;
  const { port } = threads;
  assert.equal(port.read(Reg.SCR), last & 0xff);
  assert.equal(port.read(Reg.LCR), last & 0x7f);
  assert.equal(port.read(Reg.MCR), last & 0x0f);
  assert.equal(port.read(Reg.IER), last & 0x0e);
  assert.equal(port.printed(), "");
});

/** Sends `input` to `readers` threads; returns what each has received. */
async function receive(
  input: Uint8Array,
  readers: number,
): Promise<Uint8Array[]> {
  using threads = new Threads();
  const { port, control } = threads;
  port.write(Reg.IIR_FCR, 0x81);
  port.write(Reg.IER, 1);
  const ends = [];
  for (let i = 0; i < readers; i++) {
    ends.push(threads.start("receive", input.length));
  }
  for (let sent = 0; sent < input.length;) {
    const rooms = Atomics.load(control, Control.ROOMS);
    sent += port.serial.pushInput(input.subarray(sent));
    if (sent < input.length) await threads.changed(Control.ROOMS, rooms);
  }
  await Promise.all(ends.map((end) => end.done));
  return ends.map((end) => end.received);
}

/** Three rings full of bytes that are not zero. */
function longInput(): Uint8Array {
  return Uint8Array.from({ length: 3 * RING_CAPACITY }, (_, i) => 1 + i % 251);
}

Deno.test("Serial: input longer than the ring reaches a thread in order", async () => {
  const input = longInput();
  const [received] = await receive(input, 1);
  assert.deepEqual(received, input);
});

Deno.test("Serial: of two threads that read RBR, one gets each byte", async () => {
  const counts = new Int32Array(256);
  const input = longInput();
  for (const received of await receive(input, 2)) {
    for (const byte of received) counts[byte]!++;
  }
  for (const byte of input) counts[byte]!--;
  // Each thread's array is as long as the input; zeros are its unused end.
  counts[0] = 0;
  assert.deepEqual(counts, new Int32Array(256));
});

Deno.test("Serial: pushInput says how much fits, and half an empty ring calls for more", () => {
  const port = new TestPort();
  port.write(Reg.IER, 1);
  const input = new Uint8Array(RING_CAPACITY + 10).fill(0x61);
  assert.equal(port.serial.pushInput(input), RING_CAPACITY);
  for (let i = 1; i < RING_CAPACITY / 2; i++) port.read(Reg.DATA);
  assert.equal(port.inputRooms, 0);
  port.read(Reg.DATA);
  assert.equal(port.inputRooms, 1);
  assert.equal(port.serial.pushInput(input), RING_CAPACITY / 2);
});

Deno.test("SharedLock: only one thread is inside", async () => {
  using threads = new Threads();
  const count = 200_000;
  await Promise.all([0, 1, 2].map(() => threads.start("count", count).done));
  assert.equal(threads.control[Control.COUNTER], 3 * count);
});
