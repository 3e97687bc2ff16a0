/**
 * The serial port without an exit and without a guest: what a register access
 * adds to the 2 us (VT-x) or 10 us (PVM) of its exit.
 *
 * @module
 */
import { Bus } from "../devices/bus.ts";
import {
  Serial,
  SERIAL_PORTS,
  SerialState,
} from "../devices/platform/serial.ts";
import { Fcr, Ier, Reg } from "../devices/platform/serial_registers.ts";
import { RING_CAPACITY } from "../devices/platform/serial_state.ts";

const COM1 = 0x3f8;
const TRIGGER_8 = 0x80;

/** A bus with a port on it, among others. */
function machine(): { bus: Bus; serial: Serial } {
  const serial = new Serial(SerialState.create(), {
    raiseInterrupt() {},
    outputReady() {},
    inputRoom() {},
    stopping: () => false,
  });
  const bus = new Bus();
  bus.add(0x60, 1, serial);
  bus.add(0x70, 2, serial);
  bus.add(COM1, SERIAL_PORTS, serial);
  bus.write(COM1 + Reg.IIR_FCR, 1, Fcr.ENABLE | TRIGGER_8);
  bus.write(COM1 + Reg.IER, 1, Ier.RDI);
  return { bus, serial };
}

const { bus, serial } = machine();
let written = 0;

/** Drains as the main isolate does, here once per half ring. */
function drainSometimes(): void {
  if (++written % (RING_CAPACITY / 2) === 0) serial.drainOutput();
}

Deno.bench("one byte out: THR", { group: "out", baseline: true }, () => {
  bus.write(COM1 + Reg.DATA, 1, 0x61);
  drainSometimes();
});

Deno.bench("one byte out as printk does: LSR, THR", { group: "out" }, () => {
  bus.read(COM1 + Reg.LSR, 1);
  bus.write(COM1 + Reg.DATA, 1, 0x61);
  drainSometimes();
});

const input = new Uint8Array(RING_CAPACITY / 2).fill(0x61);
let left = 0;

Deno.bench("one byte in: LSR, RBR", { group: "in" }, () => {
  if (left === 0) {
    left = serial.pushInput(input);
  }
  bus.read(COM1 + Reg.LSR, 1);
  bus.read(COM1 + Reg.DATA, 1);
  left--;
});

const typed = machine();
const key = Uint8Array.of(0x61);

Deno.bench(
  "one key: pushInput, IIR, LSR, RBR, LSR, IIR",
  { group: "in" },
  () => {
    typed.serial.pushInput(key);
    typed.bus.read(COM1 + Reg.IIR_FCR, 1);
    typed.bus.read(COM1 + Reg.LSR, 1);
    typed.bus.read(COM1 + Reg.DATA, 1);
    typed.bus.read(COM1 + Reg.LSR, 1);
    typed.bus.read(COM1 + Reg.IIR_FCR, 1);
  },
);

Deno.bench("bus: a port where nothing is", () => {
  bus.read(0x80, 1);
});
