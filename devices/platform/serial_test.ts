import assert from "node:assert/strict";
import { Fcr, Ier, Iir, Lcr, Lsr, Mcr, Msr, Reg } from "./serial_registers.ts";
import { TestPort } from "./testing/serial.ts";

const TRIGGER_14 = 0xc0;

Deno.test("Serial: registers after reset are those of the data sheet, §8", () => {
  const port = new TestPort();
  assert.equal(port.read(Reg.IER), 0);
  assert.equal(port.read(Reg.IIR_FCR), Iir.NONE);
  assert.equal(port.read(Reg.LCR), 0);
  assert.equal(port.read(Reg.MCR), 0);
  assert.equal(port.read(Reg.LSR), Lsr.THRE | Lsr.TEMT);
  assert.equal(port.read(Reg.MSR), Msr.CTS | Msr.DSR | Msr.DCD);
});

Deno.test("Serial: SCR, LCR and the divisor latches hold any byte", () => {
  const port = new TestPort();
  for (const value of [0x55, 0xaa, 0xff, 0x00]) {
    port.write(Reg.SCR, value);
    assert.equal(port.read(Reg.SCR), value);
  }
  port.write(Reg.LCR, 0x93);
  assert.equal(port.read(Reg.LCR), 0x93);
  port.write(Reg.DATA, 0x12);
  port.write(Reg.IER, 0x34);
  assert.equal(port.read(Reg.DATA), 0x12);
  assert.equal(port.read(Reg.IER), 0x34);
});

Deno.test("Serial: with DLAB set, offsets 0 and 1 reach neither THR nor IER", () => {
  const port = new TestPort();
  port.write(Reg.LCR, Lcr.DLAB);
  port.write(Reg.DATA, 0x0c);
  port.write(Reg.IER, 0x0f);
  port.write(Reg.LCR, 0x03);
  assert.equal(port.read(Reg.IER), 0);
  assert.equal(port.printed(), "");
});

Deno.test("Serial: bits that don't exist read as zero", () => {
  const port = new TestPort();
  port.write(Reg.IER, 0xf0);
  port.write(Reg.MCR, 0xe0);
  assert.equal(port.read(Reg.IER), 0);
  assert.equal(port.read(Reg.MCR), 0);
});

Deno.test("Serial: a 16-bit write is two byte writes", () => {
  const port = new TestPort();
  port.write(Reg.LCR, Lcr.DLAB);
  port.serial.write(Reg.DATA, 2, 0x1234);
  assert.equal(port.read(Reg.DATA), 0x34);
  assert.equal(port.read(Reg.IER), 0x12);
  assert.equal(port.serial.read(Reg.DATA, 2), 0x1234);
});

Deno.test("Serial: THRE interrupt is pending after IER.THRI is set and clears when IIR is read", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.THRI);
  assert.equal(port.takeInterrupts(), 1);
  assert.equal(port.read(Reg.IIR_FCR), Iir.THR_EMPTY);
  assert.equal(port.read(Reg.IIR_FCR), Iir.NONE);
  assert.equal(port.takeInterrupts(), 0);
});

Deno.test("Serial: every byte sent is a new THRE interrupt, also when IIR is never read", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.THRI);
  port.takeInterrupts();
  for (const byte of [0x61, 0x62, 0x63]) {
    port.write(Reg.DATA, byte);
    assert.equal(port.takeInterrupts(), 1);
  }
  assert.equal(port.printed(), "abc");
});

Deno.test("Serial: no interrupt is raised for sources that IER does not enable", () => {
  const port = new TestPort();
  port.type("x");
  port.write(Reg.DATA, 0x61);
  port.write(Reg.MCR, Mcr.LOOP);
  port.write(Reg.DATA, 0x61);
  port.write(Reg.DATA, 0x62);
  assert.equal(port.interrupts, 0);
  assert.equal(port.read(Reg.IIR_FCR), Iir.NONE);
});

Deno.test("Serial: without FIFO each received byte is an interrupt of its own", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.RDI);
  port.type("ab");
  assert.equal(port.takeInterrupts(), 1);
  assert.equal(port.read(Reg.IIR_FCR), Iir.RX_DATA);
  assert.equal(port.read(Reg.DATA), 0x61);
  assert.equal(port.takeInterrupts(), 1);
  assert.equal(port.read(Reg.DATA), 0x62);
  assert.equal(port.takeInterrupts(), 0);
  assert.equal(port.read(Reg.IIR_FCR), Iir.NONE);
});

for (const [bits, level] of [[0x00, 1], [0x40, 4], [0x80, 8], [0xc0, 14]]) {
  Deno.test(`Serial: at trigger level ${level}, fewer bytes are a timeout, as many are data`, () => {
    const port = new TestPort();
    port.write(Reg.IIR_FCR, Fcr.ENABLE | bits!);
    port.write(Reg.IER, Ier.RDI);
    for (let count = 1; count <= level!; count++) {
      port.type("x");
      const expected = count < level! ? Iir.RX_TIMEOUT : Iir.RX_DATA;
      assert.equal(port.read(Reg.IIR_FCR), Iir.FIFO_ENABLED | expected);
    }
    // One edge for the first byte, one for reaching the level.
    assert.equal(port.takeInterrupts(), level === 1 ? 1 : 2);
  });
}

Deno.test("Serial: a read of RBR ends a timeout, and what stays is a new one", () => {
  const port = new TestPort();
  port.write(Reg.IIR_FCR, Fcr.ENABLE | TRIGGER_14);
  port.write(Reg.IER, Ier.RDI);
  port.type("abc");
  assert.equal(port.takeInterrupts(), 1);
  port.read(Reg.DATA);
  assert.equal(port.takeInterrupts(), 1);
  port.read(Reg.DATA);
  assert.equal(port.takeInterrupts(), 1);
  port.read(Reg.DATA);
  assert.equal(port.takeInterrupts(), 0);
});

Deno.test("Serial: enabling the receiver's interrupt with data in the FIFO raises it", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.RDI);
  port.type("a");
  port.write(Reg.IER, 0);
  port.takeInterrupts();
  port.write(Reg.IER, Ier.RDI);
  assert.equal(port.takeInterrupts(), 1);
});

Deno.test("Serial: IIR gives line status, data, THRE and modem status in this order", () => {
  const port = new TestPort();
  port.write(Reg.MCR, Mcr.LOOP);
  port.write(Reg.DATA, 0x61);
  port.write(Reg.DATA, 0x62);
  port.write(Reg.IER, Ier.MASK);
  assert.equal(port.read(Reg.IIR_FCR), Iir.LINE_STATUS);
  assert.equal(port.read(Reg.LSR) & Lsr.OE, Lsr.OE);
  assert.equal(port.read(Reg.IIR_FCR), Iir.RX_DATA);
  port.read(Reg.DATA);
  assert.equal(port.read(Reg.IIR_FCR), Iir.THR_EMPTY);
  assert.equal(port.read(Reg.IIR_FCR), Iir.MODEM_STATUS);
  port.read(Reg.MSR);
  assert.equal(port.read(Reg.IIR_FCR), Iir.NONE);
});

Deno.test("Serial: a THRE interrupt behind one of higher priority stays pending", () => {
  const port = new TestPort();
  port.write(Reg.IER, Ier.RDI | Ier.THRI);
  port.type("a");
  assert.equal(port.read(Reg.IIR_FCR), Iir.RX_DATA);
  port.read(Reg.DATA);
  assert.equal(port.read(Reg.IIR_FCR), Iir.THR_EMPTY);
});

Deno.test("Serial: IIR shows whether the FIFOs are on", () => {
  const port = new TestPort();
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  assert.equal(port.read(Reg.IIR_FCR), Iir.FIFO_ENABLED | Iir.NONE);
  port.write(Reg.IIR_FCR, 0);
  assert.equal(port.read(Reg.IIR_FCR), Iir.NONE);
});

Deno.test("Serial: FCR bits only count together with the enable bit", () => {
  const port = new TestPort();
  port.write(Reg.MCR, Mcr.LOOP);
  port.write(Reg.DATA, 0x61);
  port.write(Reg.IIR_FCR, Fcr.CLEAR_RX | TRIGGER_14);
  assert.equal(port.receive(), "a");
});

Deno.test("Serial: a change of the FIFO mode clears the FIFO", () => {
  const port = new TestPort();
  port.write(Reg.MCR, Mcr.LOOP);
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  port.write(Reg.DATA, 0x61);
  port.write(Reg.IIR_FCR, 0);
  assert.equal(port.read(Reg.LSR) & Lsr.DR, 0);
});

Deno.test("Serial: loopback feeds sent bytes to the receiver, and none to the host", () => {
  const port = new TestPort();
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  port.write(Reg.IER, Ier.RDI);
  port.write(Reg.MCR, Mcr.LOOP);
  for (const byte of [1, 2, 3]) port.write(Reg.DATA, byte);
  assert.equal(port.receive(), "\x01\x02\x03");
  assert.equal(port.printed(), "");
  assert.ok(port.interrupts > 0);
});

Deno.test("Serial: host input waits while the port is in loopback", () => {
  const port = new TestPort();
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  port.write(Reg.IER, Ier.RDI);
  port.type("before ");
  port.write(Reg.MCR, Mcr.LOOP);
  port.type("during");
  assert.equal(port.read(Reg.LSR) & Lsr.DR, 0);
  port.write(Reg.DATA, 0x21);
  port.write(Reg.MCR, 0);
  assert.equal(port.receive(), "!before during");
});

Deno.test("Serial: an overrun sets OE once; the FIFO keeps its 16 bytes", () => {
  const port = new TestPort();
  port.write(Reg.IIR_FCR, Fcr.ENABLE);
  port.write(Reg.IER, Ier.RLSI);
  port.write(Reg.MCR, Mcr.LOOP);
  for (let i = 0; i < 16; i++) port.write(Reg.DATA, 0x41 + i);
  assert.equal(port.takeInterrupts(), 0);
  port.write(Reg.DATA, 0x7a);
  assert.equal(port.takeInterrupts(), 1);
  assert.equal(
    port.read(Reg.LSR),
    Lsr.THRE | Lsr.TEMT | Lsr.OE | Lsr.DR,
  );
  assert.equal(port.read(Reg.LSR) & Lsr.OE, 0);
  assert.equal(port.receive(), "ABCDEFGHIJKLMNOP");
});

Deno.test("Serial: an overrun without FIFO replaces the byte in RBR", () => {
  const port = new TestPort();
  port.write(Reg.MCR, Mcr.LOOP);
  port.write(Reg.DATA, 0x61);
  port.write(Reg.DATA, 0x62);
  assert.equal(port.read(Reg.LSR) & (Lsr.OE | Lsr.DR), Lsr.OE | Lsr.DR);
  assert.equal(port.receive(), "b");
});

Deno.test("Serial: in loopback MCR's outputs are MSR's inputs", () => {
  const port = new TestPort();
  for (
    const [output, input] of [
      [Mcr.RTS, Msr.CTS],
      [Mcr.DTR, Msr.DSR],
      [Mcr.OUT1, Msr.RI],
      [Mcr.OUT2, Msr.DCD],
    ] as const
  ) {
    port.write(Reg.MCR, Mcr.LOOP | output);
    assert.equal(port.read(Reg.MSR) & 0xf0, input);
  }
});

Deno.test("Serial: modem lines that change set their delta bits until MSR is read", () => {
  const port = new TestPort();
  port.write(Reg.MCR, Mcr.LOOP);
  assert.equal(port.read(Reg.MSR), Msr.DCTS | Msr.DDSR | Msr.DDCD);
  port.write(Reg.IER, Ier.MSI);
  port.write(Reg.MCR, Mcr.LOOP | Mcr.OUT1);
  assert.equal(port.takeInterrupts(), 0, "RI going up is no event");
  port.write(Reg.MCR, Mcr.LOOP | Mcr.RTS);
  assert.equal(port.takeInterrupts(), 1);
  assert.equal(port.read(Reg.MSR), Msr.CTS | Msr.DCTS | Msr.TERI);
  assert.equal(port.read(Reg.MSR), Msr.CTS);
});
