import assert from "node:assert/strict";
import type { BusDevice } from "../bus.ts";
import {
  CONFIG_SPACE_SIZE,
  ConfigSpace,
  type PciFunction,
} from "./function.ts";
import { HostBridge } from "./host_bridge.ts";
import { Ecam, PciConfigPorts, PciMemory, PciRoot } from "./root.ts";

const ADDRESS = 0, DATA = 4;
const ENABLE = 0x8000_0000;

/** A function with 256 bytes of memory that can be written. */
class Ram implements PciFunction {
  readonly config = new ConfigSpace(new Uint8Array(CONFIG_SPACE_SIZE));
  readonly bytes = new Uint8Array(256);
  readonly memorySize = 256;
  memoryBase = -1;

  constructor(vendor: number) {
    this.config.set(0, 2, vendor);
    this.config.allow(0x10, 4, 0xffff_ff00);
  }

  readConfig(offset: number, size: number): number {
    return this.config.get(offset, size);
  }

  writeConfig(offset: number, size: number, value: number): void {
    this.config.write(offset, size, value);
  }

  read(offset: number): number {
    return this.bytes[offset]!;
  }

  write(offset: number, _size: number, value: number): void {
    this.bytes[offset] = value;
  }
}

function bus() {
  const ram = new Ram(0x1234);
  const root = new PciRoot([new HostBridge(), ram]);
  const resets: number[] = [];
  const reset: BusDevice = {
    read: () => 0x5a,
    write: (_offset, _size, value) => void resets.push(value),
  };
  const shared = PciConfigPorts.createState();
  const ports = new PciConfigPorts(root, shared, reset);
  return { ram, root, ports, shared, reset, resets };
}

Deno.test("PCI mechanism #1: the bridge and the function, at every width", () => {
  const { ports } = bus();
  ports.write(ADDRESS, 4, ENABLE);
  assert.equal(ports.read(ADDRESS, 4), ENABLE);
  assert.equal(ports.read(DATA, 4), 0x0d57_8086);
  assert.equal(ports.read(DATA + 2, 2), 0x0d57);
  assert.equal(ports.read(DATA + 1, 1), 0x80);
  ports.write(ADDRESS, 4, ENABLE | 8);
  assert.equal(ports.read(DATA, 4) >>> 8, 0x060000, "a host bridge");
  ports.write(ADDRESS, 4, ENABLE | (1 << 11));
  assert.equal(ports.read(DATA, 2), 0x1234);
});

Deno.test("PCI mechanism #1: where nobody is, all ones; and nothing when it is off", () => {
  const { ports } = bus();
  const nobody = [
    ENABLE | (2 << 11), // no such device
    ENABLE | (1 << 11) | (1 << 8), // no such function
    ENABLE | (1 << 16), // no such bus
    1 << 11, // not enabled
  ];
  for (const address of nobody) {
    ports.write(ADDRESS, 4, address);
    assert.equal(ports.read(DATA, 4), 0xffff_ffff);
    assert.equal(ports.read(DATA, 2), 0xffff);
    assert.equal(ports.read(DATA, 1), 0xff);
    ports.write(DATA, 4, 0);
  }
});

Deno.test("PCI mechanism #1: CONFIG_ADDRESS is every vCPU's, and only 32 bits wide", () => {
  const { ports, shared, root, reset, resets } = bus();
  const other = new PciConfigPorts(root, shared, reset);
  ports.write(ADDRESS, 4, ENABLE | (1 << 11) | 3);
  assert.equal(other.read(DATA, 2), 0x1234);
  ports.write(ADDRESS, 2, 0);
  ports.write(ADDRESS + 2, 1, 0);
  assert.equal(other.read(ADDRESS, 4), (ENABLE | (1 << 11)) >>> 0);
  assert.equal(ports.read(ADDRESS, 2), 0xffff);
  assert.equal(ports.read(ADDRESS + 1, 1), 0x5a, "the reset control");
  ports.write(ADDRESS + 1, 1, 6);
  assert.deepEqual(resets, [6]);
});

Deno.test("PCI: only what may be written is", () => {
  const { ports, ram } = bus();
  ports.write(ADDRESS, 4, ENABLE | (1 << 11));
  ports.write(DATA, 4, 0);
  assert.equal(ports.read(DATA, 2), 0x1234);
  ports.write(ADDRESS, 4, ENABLE | (1 << 11) | 0x10);
  ports.write(DATA, 4, 0xffff_ffff);
  assert.equal(ports.read(DATA, 4), 0xffff_ff00, "the BAR's size");
  ports.write(DATA + 3, 1, 0xd0);
  assert.equal(ram.config.get(0x10, 4), 0xd0ff_ff00);
});

Deno.test("ECAM: the same space, 4 KiB for each function", () => {
  const { root } = bus();
  const ecam = new Ecam(root);
  assert.equal(ecam.read(0, 4), 0x0d57_8086);
  assert.equal(ecam.read(8 << 12, 2), 0x1234);
  assert.equal(ecam.read(9 << 12, 4), 0xffff_ffff);
  assert.equal(ecam.read((8 << 12) + 0x100, 4), 0, "no extended space");
  ecam.write((8 << 12) + 0x100, 4, 1);
  ecam.write((8 << 12) + 0x10, 4, 0xd000_0000);
  assert.equal(ecam.read((8 << 12) + 0x10, 4), 0xd000_0000);
  assert.equal(ecam.read(0xff << 12, 4), 0xffff_ffff);
});

Deno.test("PCI memory: a function's is where its BAR says, if anywhere", () => {
  const { root, ram } = bus();
  const memory = new PciMemory(root, 0xd000_0000);
  memory.write(0x1000, 1, 7);
  assert.equal(memory.read(0x1000, 1), 0xff);
  ram.memoryBase = 0xd000_1000;
  memory.write(0x1001, 1, 7);
  assert.equal(ram.bytes[1], 7);
  assert.equal(memory.read(0x1001, 1), 7);
  assert.equal(memory.read(0x1100, 1), 0xff, "behind its end");
  assert.equal(memory.read(0x10fe, 4), 0xffff_ffff, "over its end");
  ram.memoryBase = 0xd800_0000;
  assert.equal(memory.read(0x1001, 1), 0xff);
  assert.equal(memory.read(0x800_0001, 1), 7);
});

Deno.test("PCI memory: a BAR that another vCPU moves during an access is looked at once", () => {
  const moving = new Ram(0x1234);
  let base = 0xd000_0000;
  Object.defineProperty(moving, "memoryBase", { get: () => base-- });
  const memory = new PciMemory(new PciRoot([moving]), 0xd000_0000);
  moving.bytes[4] = 0x44;
  assert.equal(memory.read(4, 1), 0x44);
  base = 0xd000_0000;
  memory.write(8, 1, 0x88);
  assert.equal(moving.bytes[8], 0x88);
});
