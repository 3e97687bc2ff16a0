/**
 * A vCPU thread in tests of shared device state.
 *
 * @module
 */
/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
import { Serial } from "../serial.ts";
import { Ier, Lsr, Reg } from "../serial_registers.ts";
import { Control, type Task } from "./serial.ts";
import { SharedLock } from "../../runtime/shared_lock.ts";

const tasks: Record<Task["name"], (task: Task, serial: Serial) => void> = {
  /** Writes `count` bytes: the id in bit 7, a sequence number below. */
  transmit(task: Task, serial: Serial): void {
    for (let i = 0; i < task.count; i++) {
      serial.write(Reg.DATA, 1, (task.id << 7) | (i & 0x7f));
    }
  },

  /** As `transmit`, with every other register written and read in between. */
  everything(task: Task, serial: Serial): void {
    for (let i = 0; i < task.count; i++) {
      serial.write(Reg.IER, 1, i & Ier.MASK & ~Ier.RDI);
      serial.write(Reg.DATA, 1, (task.id << 7) | (i & 0x7f));
      serial.write(Reg.SCR, 1, i & 0xff);
      serial.write(Reg.MCR, 1, i & 0x0f);
      serial.write(Reg.LCR, 1, i & 0x7f);
      serial.write(Reg.IIR_FCR, 1, i & 0xff);
      for (const register of [Reg.IIR_FCR, Reg.LSR, Reg.MSR, Reg.SCR]) {
        serial.read(register, 1);
      }
    }
  },

  /** Receives until all workers have `count` bytes together. */
  receive(task: Task, serial: Serial): void {
    const control = new Int32Array(task.control);
    const received = new Uint8Array(task.received);
    let length = 0;
    while (Atomics.load(control, Control.RECEIVED) < task.count) {
      // One port, two readers: a byte that LSR tells of may be gone by now,
      // so zero means none, and the test sends none.
      if ((serial.read(Reg.LSR, 1) & Lsr.DR) === 0) continue;
      const byte = serial.read(Reg.DATA, 1);
      if (byte === 0) continue;
      received[length++] = byte;
      Atomics.add(control, Control.RECEIVED, 1);
    }
  },

  /** Counts under the lock without atomics. */
  count(task: Task): void {
    const control = new Int32Array(task.control);
    const lock = new SharedLock(control, Control.LOCK);
    for (let i = 0; i < task.count; i++) {
      lock.acquire();
      control[Control.COUNTER]!++;
      lock.release();
    }
  },
};

self.onmessage = (event: MessageEvent<Task>): void => {
  const task = event.data;
  const control = new Int32Array(task.control);
  const signal = (word: number): void => {
    Atomics.add(control, word, 1);
    Atomics.notify(control, word);
  };
  const serial = new Serial(task.shared, {
    raiseInterrupt: () => {},
    outputReady: () => signal(Control.SIGNALS),
    inputRoom: () => signal(Control.ROOMS),
    stopping: () => Atomics.load(control, Control.STOP) === 1,
  });
  signal(Control.STARTED);
  tasks[task.name](task, serial);
  signal(Control.FINISHED);
  self.postMessage(undefined);
};
