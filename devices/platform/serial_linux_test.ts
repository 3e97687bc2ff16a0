/**
 * What Linux's 8250 driver does to a port, step by step; functions named here
 * are those of drivers/tty/serial/8250/8250_port.c.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Fcr, Ier, Iir, Lcr, Lsr, Mcr, Reg } from "./serial_registers.ts";
import { TestPort } from "./testing/serial.ts";

const TRIGGER_8 = 0x80;

/** `serial8250_clear_fifos`. */
function clearFifos(port: TestPort): void {
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  port.write(Reg.IIR_FCR, Fcr.ENABLE | 0x06);
  port.write(Reg.IIR_FCR, 0);
}

/** The register accesses of `serial8250_do_startup` and `set_termios`. */
function open(port: TestPort): void {
  clearFifos(port);
  for (const register of [Reg.LSR, Reg.DATA, Reg.IIR_FCR, Reg.MSR]) {
    port.read(register);
  }
  port.write(Reg.LCR, 0x03);
  port.write(Reg.MCR, Mcr.OUT2 | Mcr.RTS | Mcr.DTR);
  port.write(Reg.IER, Ier.THRI);
  port.read(Reg.LSR);
  port.read(Reg.IIR_FCR);
  port.write(Reg.IER, 0);
  for (const register of [Reg.LSR, Reg.DATA, Reg.IIR_FCR, Reg.MSR]) {
    port.read(register);
  }
  port.write(Reg.IER, Ier.RDI | Ier.RLSI);
  port.write(Reg.LCR, Lcr.DLAB | 0x03);
  port.write(Reg.DATA, 1);
  port.write(Reg.IER, 0);
  port.write(Reg.LCR, 0x03);
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  port.write(Reg.IIR_FCR, Fcr.ENABLE | TRIGGER_8);
}

/** `serial8250_do_shutdown`. */
function close(port: TestPort): void {
  port.write(Reg.IER, 0);
  port.write(Reg.MCR, 0);
  clearFifos(port);
  port.read(Reg.DATA);
}

/** `serial8250_interrupt` and below: returns what was received. */
function handleInterrupt(port: TestPort, limit = 256): string {
  let text = "";
  while (!(port.read(Reg.IIR_FCR) & Iir.NONE)) text += port.receive(limit);
  return text;
}

Deno.test("Serial: autoconfig finds a 16550A", () => {
  const port = new TestPort();
  // The interrupt enable register holds four bits.
  port.write(Reg.IER, 0);
  assert.equal(port.read(Reg.IER) & 0x0f, 0);
  port.write(Reg.IER, 0x0f);
  assert.equal(port.read(Reg.IER) & 0x0f, 0x0f);
  port.write(Reg.IER, 0);
  // The loopback test: RTS and OUT2 come back as CTS and DCD.
  port.write(Reg.MCR, Mcr.LOOP | 0x0a);
  assert.equal(port.read(Reg.MSR) & 0xf0, 0x90);
  port.write(Reg.MCR, 0);
  // FIFOs: both bits mean 16550A.
  port.write(Reg.LCR, 0xbf);
  port.write(Reg.IIR_FCR, 0);
  port.write(Reg.LCR, 0);
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  assert.equal(port.read(Reg.IIR_FCR) >> 6, 3);
  // No enhanced features register: a 16650 has one behind either of these.
  port.write(Reg.LCR, 0x80);
  assert.notEqual(port.read(Reg.IIR_FCR), 0);
  port.write(Reg.LCR, 0xbf);
  assert.notEqual(port.read(Reg.IIR_FCR), 0);
  // Not a NatSemi super chip: MCR's loop bit does not show behind LCR 0xE0.
  port.write(Reg.LCR, 0xe0);
  const before = port.read(Reg.IIR_FCR) & Mcr.LOOP;
  port.write(Reg.MCR, Mcr.LOOP);
  assert.equal(port.read(Reg.IIR_FCR) & Mcr.LOOP, before);
  port.write(Reg.MCR, 0);
  // Not a 16750: no 64-byte FIFO bit.
  port.write(Reg.LCR, Lcr.DLAB);
  port.write(Reg.IIR_FCR, Fcr.ENABLE | 0x20);
  assert.equal(port.read(Reg.IIR_FCR) >> 5, 6);
  // Not an XScale: no UART unit enable bit.
  port.write(Reg.LCR, 0);
  port.write(Reg.IER, 0x40);
  assert.equal(port.read(Reg.IER), 0);
});

Deno.test("Serial: size_fifo counts 16 bytes in loopback", () => {
  const port = new TestPort();
  port.write(Reg.IIR_FCR, Fcr.ENABLE | 0x06);
  port.write(Reg.MCR, Mcr.LOOP);
  for (let i = 0; i < 256; i++) port.write(Reg.DATA, i);
  assert.equal(port.receive().length, 16);
});

Deno.test("Serial: no UART_BUG_THRE: THRE comes again when THRI is set again", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.THRI);
  assert.equal(port.read(Reg.IIR_FCR) & Iir.NONE, 0);
  port.write(Reg.IER, 0);
  port.write(Reg.IER, Ier.THRI);
  assert.equal(port.read(Reg.IIR_FCR) & Iir.NONE, 0);
});

Deno.test("Serial: no UART_BUG_TXEN: THRI alone makes IIR tell of an empty THR", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.THRI);
  assert.equal(port.read(Reg.LSR) & Lsr.TEMT, Lsr.TEMT);
  assert.equal(port.read(Reg.IIR_FCR), Iir.THR_EMPTY);
});

Deno.test("Serial: input from before the port is opened arrives when it is", () => {
  const port = new TestPort();
  port.type("early input, longer than the FIFO");
  open(port);
  assert.ok(port.takeInterrupts() > 0);
  assert.equal(handleInterrupt(port), "early input, longer than the FIFO");
});

Deno.test("Serial: input is not lost when the port is closed and opened again", () => {
  const port = new TestPort();
  open(port);
  port.type("one two three four five");
  assert.equal(port.receive(4), "one ");
  close(port);
  port.type(" six");
  open(port);
  assert.equal(handleInterrupt(port), "two three four five six");
});

Deno.test("Serial: input is not lost when a FIFO reset hits a filled FIFO", () => {
  const port = new TestPort();
  open(port);
  port.type("0123456789abcdef");
  port.write(Reg.IIR_FCR, Fcr.ENABLE | Fcr.CLEAR_RX | TRIGGER_8);
  assert.equal(handleInterrupt(port), "0123456789abcdef");
});

Deno.test("Serial: input is not lost when printk switches interrupts off meanwhile", () => {
  const port = new TestPort();
  open(port);
  port.type("ab");
  port.takeInterrupts();
  const ier = port.read(Reg.IER);
  port.write(Reg.IER, 0);
  port.type("cd");
  for (const byte of [0x68, 0x69]) {
    assert.equal(port.read(Reg.LSR) & Lsr.THRE, Lsr.THRE);
    port.write(Reg.DATA, byte);
  }
  assert.equal(port.takeInterrupts(), 0);
  port.write(Reg.IER, ier);
  assert.equal(port.takeInterrupts(), 1);
  assert.equal(handleInterrupt(port), "abcd");
  assert.equal(port.printed(), "hi");
});

Deno.test("Serial: a handler that gives up after 256 bytes is called again", () => {
  const port = new TestPort();
  open(port);
  port.type("x".repeat(5000));
  let received = 0;
  while (port.takeInterrupts() > 0) received += port.receive(256).length;
  assert.equal(received, 5000);
});

Deno.test("Serial: a driver that reads one byte per interrupt gets all", () => {
  const port = new TestPort();
  open(port);
  port.type("the quick brown fox jumps over the lazy dog");
  let text = "";
  // Edges that come while one is not yet handled merge, as in an APIC.
  while (port.takeInterrupts() > 0) text += port.receive(1);
  assert.equal(text, "the quick brown fox jumps over the lazy dog");
});

Deno.test("Serial: a transmitting interrupt handler is called until it stops", () => {
  const port = new TestPort();
  open(port);
  const text = "sixteen bytes at a time, as serial8250_tx_chars does";
  let sent = 0;
  port.write(Reg.IER, Ier.RDI | Ier.RLSI | Ier.THRI);
  while (port.takeInterrupts() > 0) {
    while (!(port.read(Reg.IIR_FCR) & Iir.NONE)) {
      for (let i = 0; i < 16 && sent < text.length; i++) {
        port.write(Reg.DATA, text.charCodeAt(sent++));
      }
    }
    if (sent === text.length) port.write(Reg.IER, Ier.RDI | Ier.RLSI);
  }
  assert.equal(port.printed(), text);
});

Deno.test("Serial: a guest that polls LSR with interrupts off gets input", () => {
  const port = new TestPort();
  port.type("key");
  for (let i = 1; i < 64; i++) assert.equal(port.read(Reg.LSR) & Lsr.DR, 0);
  assert.equal(port.receive(), "key");
  port.type("s");
  assert.equal(port.receive(), "s", "and needs no second proof");
});

Deno.test("Serial: a guest that polls LSR only before each write gets no input", () => {
  const port = new TestPort();
  port.type("key");
  for (let i = 0; i < 100; i++) {
    assert.equal(port.read(Reg.LSR), Lsr.THRE | Lsr.TEMT);
    port.write(Reg.DATA, 0x2e);
  }
  assert.equal(port.read(Reg.DATA), 0);
});

Deno.test("Serial: what a polling boot loader left is for the driver that comes next", () => {
  const port = new TestPort();
  port.type("bkernel");
  for (let i = 0; i < 64; i++) port.read(Reg.LSR);
  assert.equal(port.read(Reg.DATA), 0x62);
  open(port);
  assert.equal(handleInterrupt(port), "kernel");
});
