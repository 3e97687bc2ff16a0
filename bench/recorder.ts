/**
 * What it costs that exits and requests are counted, and what it costs to record
 * them: by pairs, each of a run without and one with, so that only their ratio
 * counts.
 *
 *     deno run -A bench/recorder.ts
 *
 * @module
 */
import { ExitRecorder } from "../ffi/kvm/exit_recorder.ts";
import { EVENTS_KEPT, Recorder } from "../ffi/recorder.ts";
import { Exit, Kvm, Mapping, type Vcpu } from "../mod.ts";
import type { MachineParts } from "../vmm/build.ts";
import { DeviceRecorder } from "../vmm/trace/device_recorder.ts";
import { TraceReader } from "../vmm/trace/reader.ts";
import { spread } from "./paths/pairs.ts";

const PAIRS = 12;
const EXITS = 5000;
const EVENTS = 200_000;
const READS = 20;
const RAM = 0x1000;

/** A vCPU in real mode that writes to a port for ever. */
function exiting(): Vcpu {
  const vm = new Kvm().createVm();
  const ram = new Mapping(4096);
  new Uint8Array(ram.buffer).set([0xee, 0xeb, 0xfd]); // out dx, al; jmp back
  vm.setUserMemoryRegion(0, RAM, ram.size, ram.address);
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  const cs = { ...sregs.segment("cs"), base: 0n, selector: 0 };
  sregs.setSegment("cs", cs);
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: BigInt(RAM), rdx: 0x80n, rflags: 2n });
  return vcpu;
}

/** Nanoseconds of each of `count` turns of `body`. */
function time(count: number, body: () => void): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) body();
  return (performance.now() - start) * 1e6 / count;
}

/** Both by turns; each pair begins with the other one. */
function compare(
  what: string,
  count: number,
  [nameA, a]: [string, () => void],
  [nameB, b]: [string, () => void],
): void {
  time(count, a);
  time(count, b);
  const pairs = Array.from({ length: PAIRS }, (_, i): [number, number] => {
    if (i % 2 === 0) return [time(count, a), time(count, b)];
    const second = time(count, b);
    return [time(count, a), second];
  });
  const ratios = pairs.map(([a, b]) => b / a);
  const of = (index: 0 | 1) => spread(pairs.map((pair) => pair[index])).median;
  const { median, min, max } = spread(ratios);
  console.log(
    `${what}: ${nameA} ${of(0).toFixed(1)} ns, ${nameB} ${
      of(1).toFixed(1)
    } ns;` +
      ` ratio ${median.toFixed(3)} (${min.toFixed(3)} to ${max.toFixed(3)})`,
  );
}

const page = Recorder.create(1);
const recorder = new Recorder(page);
const exits = new ExitRecorder(page, 0);
const vcpu = exiting();
const all = 0x7fff_ffff;
const wanting = (kinds: number, body: () => void) => () => {
  recorder.wanted = kinds;
  body();
};
const exit = () => {
  vcpu.enter();
  const began = exits.began(vcpu.run);
  if (began !== 0) exits.ended(vcpu.run, began);
};
compare(
  "an exit",
  EXITS,
  ["bare", () => void vcpu.enter()],
  ["counted", wanting(0, exit)],
);
compare(
  "an exit",
  EXITS,
  ["counted", wanting(0, exit)],
  ["recorded", wanting(all, exit)],
);

// The same without KVM: only what is added.
const told = () => {
  const began = exits.began(vcpu.run);
  if (began !== 0) exits.ended(vcpu.run, began);
};
compare(
  "what is added to an exit",
  EVENTS,
  ["counted", wanting(0, told)],
  ["recorded", wanting(all, told)],
);

compare(
  "of which a stamp is",
  EVENTS,
  ["counted", wanting(0, told)],
  ["with a stamp", wanting(0, () => (told(), void recorder.now()))],
);

const device = new DeviceRecorder(recorder, 0);
const request = () => {
  device.served(0, true);
  device.began(1, 0, 0, 8, 4096);
  device.ended(1, 0);
  device.interrupted(0);
};
compare(
  "a request from doorbell to interrupt",
  EVENTS,
  ["counted", wanting(0, request)],
  ["recorded", wanting(all, request)],
);

// A live page's log reads twice a second.
const parts = {
  vcpus: [{ start: { record: page } }],
  devices: [],
} as unknown as MachineParts;
const reading = (last?: number) => {
  const reader = new TraceReader(parts, last === undefined ? {} : { last });
  return () => {
    for (let i = 0; i < EVENTS_KEPT; i++) {
      recorder.record(i, 1, 0, 0, Exit.MMIO, 0xc000_0000, 1, 1);
    }
    reader.read();
  };
};
compare(
  `${EVENTS_KEPT} events`,
  READS,
  ["the last 200 read", reading(200)],
  ["all read", reading()],
);
