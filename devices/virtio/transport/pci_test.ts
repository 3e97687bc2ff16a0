/** Virtio over PCI: configuration space, capabilities, registers. */
import assert from "node:assert/strict";
import { DeviceState, DeviceWord } from "./device_state.ts";
import { CommonCfg, NO_VECTOR, vectorOf, VirtioPciFunction } from "./pci.ts";
import { BarLayout, PciFunctionState } from "./pci_layout.ts";

const BASE = 0xd000_0000;
const GSI = 5;

/** A function of a device with two queues and four bytes of configuration. */
function made(configSize = 4) {
  const state = new DeviceState();
  const pci = new PciFunctionState();
  pci.describe(2, 2, configSize, BASE, GSI);
  const config = Uint8Array.of(1, 2, 3, 4).subarray(0, configSize);
  state.offer(2, [0, 0], [64, 256], config);
  state.show();
  const requests: number[] = [];
  const rung: number[] = [];
  const levels: boolean[] = [];
  const device = new VirtioPciFunction(state, pci, {
    requestReady() {
      requests.push(state.words[DeviceWord.REQUEST]!);
      state.words[DeviceWord.REQUEST] = 0;
    },
    notify: (index) => void rung.push(index),
    stopping: () => false,
    interruptLine: (level) => void levels.push(level),
  });
  return { state, pci, device, requests, rung, levels };
}

interface Found {
  id: number;
  type: number;
  bar: number;
  offset: number;
  length: number;
}

/** Walks the list of capabilities as a driver does. */
function capabilities(device: VirtioPciFunction): Found[] {
  const found: Found[] = [];
  const u8 = (at: number) => device.readConfig(at, 1);
  for (let at = u8(0x34); at !== 0; at = u8(at + 1)) {
    found.push({
      id: u8(at),
      type: u8(at + 3),
      bar: u8(at + 4),
      offset: device.readConfig(at + 8, 4),
      length: device.readConfig(at + 12, 4),
    });
    assert.ok(found.length < 10, "the list ends");
  }
  return found;
}

Deno.test("virtio-pci: a modern function's identity (§4.1.2)", () => {
  const { device } = made();
  assert.equal(device.readConfig(0, 4), 0x1042_1af4);
  assert.ok(device.readConfig(8, 1) >= 1, "revision");
  assert.ok(device.readConfig(0x2e, 2) >= 0x40, "subsystem");
  assert.equal(
    device.readConfig(9, 1) | device.readConfig(10, 2) << 8,
    0x010000,
  );
  assert.equal(device.readConfig(0x3c, 2), 0x0100 | GSI, "INTA");
});

Deno.test("virtio-pci: every structure is found, within the BAR, none over another (§4.1.4)", () => {
  const { device } = made();
  const found = capabilities(device);
  assert.deepEqual(found.map(({ id }) => id), [0x11, 9, 9, 9, 9, 9]);
  const structures = found.slice(1, 5);
  assert.deepEqual(structures.map(({ type }) => type), [1, 2, 3, 4]);
  let end = 0;
  for (const { bar, offset, length } of structures) {
    assert.equal(bar, 0);
    assert.ok(length > 0);
    const first = Math.min(offset, BarLayout.SIZE - length);
    assert.equal(first, offset, "within the BAR");
  }
  const sorted = structures.sort((a, b) => a.offset - b.offset);
  for (const { offset, length } of sorted) {
    assert.ok(offset >= end);
    end = offset + length;
  }
  assert.equal(found[5]!.type, 5);
});

Deno.test("virtio-pci: no device structure without a configuration space", () => {
  const types = capabilities(made(0).device).map(({ type }) => type);
  assert.equal(types.includes(4), false);
  assert.equal(types.at(-1), 5);
});

Deno.test("virtio-pci: a BAR is sized, moved and switched off as drivers do", () => {
  const { device, requests } = made();
  assert.equal(device.memoryBase, BASE);
  device.writeConfig(4, 2, 0);
  assert.equal(device.memoryBase, -1);
  assert.deepEqual(requests.splice(0), [6], "the device worker looks");
  device.writeConfig(0x10, 4, 0xffff_ffff);
  assert.equal(device.readConfig(0x10, 4), 2 ** 32 - BarLayout.SIZE);
  device.writeConfig(0x10, 4, 0xd100_0000 + 0x123);
  assert.equal(requests.length, 0, "nothing moved that is there");
  device.writeConfig(4, 2, 6);
  assert.equal(device.memoryBase, 0xd100_0000);
  assert.deepEqual(requests, [6]);
  for (const bar of [0x14, 0x18, 0x1c, 0x20, 0x24, 0x30]) {
    device.writeConfig(bar, 4, 0xffff_ffff);
    assert.equal(device.readConfig(bar, 4), 0, "no other BAR, no ROM");
  }
});

Deno.test("virtio-pci: fields answer at their own width only (§4.1.3.1)", () => {
  const { device } = made();
  assert.equal(device.read(CommonCfg.num_queues, 2), 2);
  assert.equal(device.read(CommonCfg.num_queues, 1), 0);
  assert.equal(device.read(CommonCfg.num_queues, 4), 0);
  device.write(CommonCfg.queue_select, 4, 1);
  assert.equal(device.read(CommonCfg.queue_select, 2), 0);
  device.write(CommonCfg.device_status, 4, 1);
  assert.equal(device.read(CommonCfg.device_status, 1), 0);
});

Deno.test("virtio-pci: queues have their sizes, doorbells and addresses", () => {
  const { device, rung } = made();
  device.write(CommonCfg.queue_select, 2, 1);
  assert.equal(device.read(CommonCfg.queue_size, 2), 256);
  assert.equal(device.read(CommonCfg.queue_notify_off, 2), 1);
  device.write(CommonCfg.queue_size, 2, 128);
  assert.equal(device.read(CommonCfg.queue_size, 2), 128);
  device.write(CommonCfg.queue_driver, 4, 0x1000);
  device.write(CommonCfg.queue_driver + 4, 4, 2);
  assert.equal(device.read(CommonCfg.queue_driver, 4), 0x1000);
  assert.equal(device.read(CommonCfg.queue_driver + 4, 4), 2);
  device.write(BarLayout.NOTIFY + 4, 2, 1);
  device.write(BarLayout.NOTIFY, 4, 0);
  assert.deepEqual(rung, [1, 0]);
  device.write(BarLayout.NOTIFY + 8, 2, 2);
  device.write(BarLayout.NOTIFY + 2, 2, 2);
  assert.deepEqual(rung, [1, 0], "no such queue");
  device.write(CommonCfg.queue_select, 2, 2);
  assert.equal(device.read(CommonCfg.queue_size, 2), 0);
  device.write(CommonCfg.queue_desc, 4, 1);
  assert.equal(device.read(CommonCfg.queue_desc, 4), 0);
});

Deno.test("virtio-pci: a queue that is enabled without a size has the largest", () => {
  const { device, state } = made();
  device.write(CommonCfg.queue_enable, 2, 1);
  assert.equal(state.queue(0, 1), 64);
  assert.equal(device.read(CommonCfg.queue_enable, 2), 1);
  device.write(CommonCfg.queue_enable, 2, 0);
  assert.equal(device.read(CommonCfg.queue_enable, 2), 1, "not for drivers");
});

Deno.test("virtio-pci: vectors read back, those that aren't there as none (§4.1.5.1.2)", () => {
  const { device, state } = made();
  assert.equal(device.read(CommonCfg.config_msix_vector, 2), NO_VECTOR);
  assert.equal(vectorOf(state, -1), -1);
  device.write(CommonCfg.config_msix_vector, 2, 2);
  assert.equal(device.read(CommonCfg.config_msix_vector, 2), 2);
  assert.equal(vectorOf(state, -1), 2);
  device.write(CommonCfg.queue_select, 2, 1);
  for (const vector of [3, 0x7ff, NO_VECTOR]) {
    device.write(CommonCfg.queue_msix_vector, 2, vector);
    assert.equal(device.read(CommonCfg.queue_msix_vector, 2), NO_VECTOR);
  }
  device.write(CommonCfg.queue_msix_vector, 2, 0);
  assert.equal(vectorOf(state, 1), 0);
  device.write(CommonCfg.device_status, 1, 0); // reset
  assert.equal(vectorOf(state, 1), -1);
  assert.equal(vectorOf(state, -1), -1);
});

Deno.test("virtio-pci: reading the ISR acknowledges and lowers the line (§4.1.4.5)", () => {
  const { device, state, levels } = made();
  Atomics.or(state.words, DeviceWord.INTERRUPT_STATUS, 3);
  assert.equal(device.read(BarLayout.ISR, 1), 3);
  assert.equal(device.read(BarLayout.ISR, 1), 0);
  assert.deepEqual(levels, [false, false]);
});

Deno.test("virtio-pci: the window in the configuration space reaches the BAR (§4.1.4.9)", () => {
  const { device } = made();
  const access = (bar: number, offset: number, length: number) => {
    device.writeConfig(0x94, 1, bar);
    device.writeConfig(0x98, 4, offset);
    device.writeConfig(0x9c, 4, length);
    return device.readConfig(0xa0, 4);
  };
  assert.equal(access(0, CommonCfg.num_queues, 2), 2);
  assert.equal(access(0, BarLayout.DEVICE, 4), 0x0403_0201);
  assert.equal(access(1, CommonCfg.num_queues, 2), 0);
  assert.equal(access(0, BarLayout.SIZE, 4), 0);
  assert.equal(access(0, 0xffff_fffc, 4), 0);
  assert.equal(access(0, 1, 2), 0);
  assert.equal(access(0, 0, 3), 0);
  access(0, CommonCfg.queue_select, 2);
  device.writeConfig(0xa0, 4, 1);
  assert.equal(device.read(CommonCfg.queue_select, 2), 1);
});

Deno.test("virtio-pci: each field of the window is read once, for another vCPU may write it (§4.1.4.9)", () => {
  const { device, pci } = made();
  device.writeConfig(0x98, 4, BarLayout.COMMON + CommonCfg.num_queues);
  device.writeConfig(0x9c, 4, 2);
  const get = pci.config.get.bind(pci.config);
  const looked = new Map<number, number>();
  pci.config.get = (offset, size) => {
    looked.set(offset, (looked.get(offset) ?? 0) + 1);
    return get(offset, size);
  };
  assert.equal(device.readConfig(0xa0, 2), 2);
  device.writeConfig(0xa0, 2, 0);
  assert.deepEqual([...looked.values()], [2, 2, 2]);
});
