/**
 * What it costs that exits and requests are counted, and what it costs to record
 * them: by pairs, each of a run without and one with, so that only their ratio
 * counts. A pair's two runs take turns in slices, of 20 exits or so, and its
 * ratio is the median of theirs: what else the host does then hits both alike.
 * How far that can be trusted is told by a run beside itself, whose ratio is 1.
 *
 *     deno run -A bench/recorder.ts
 *
 * @module
 */
import { Bus, type BusDevice } from "../devices/bus.ts";
import { ExitRecorder } from "../ffi/kvm/exit_recorder.ts";
import { EVENTS_KEPT, Recorder } from "../ffi/recorder.ts";
import { Exit, Kvm, Mapping, type Vcpu } from "../mod.ts";
import type { MachineParts } from "../vmm/build.ts";
import { Control } from "../vmm/control.ts";
import type { MachineEnd } from "../vmm/messages.ts";
import { DeviceRecorder } from "../vmm/trace/device_recorder.ts";
import { TraceReader } from "../vmm/trace/reader.ts";
import { VcpuLoop } from "../vmm/vcpu_loop.ts";
import { spread } from "./paths/pairs.ts";

const PAIRS = 12;
const RAM = 0x1000;
const PORT = 0x80;
const REGISTER = 0xb0000;
/** The rate of events at which a share of a core is told, by second. */
const RATE = 100_000;

/** How a comparison is sliced. */
interface Slices {
  /** Turns of a slice. */
  turns: number;
  /** Slices of each of a pair's two. */
  slices: number;
  /** Slices before anything is measured, until all is compiled. */
  warm: number;
}

const IN_PLACE: Slices = { turns: 20, slices: 400, warm: 4000 };
const ALONE: Slices = { turns: 2000, slices: 50, warm: 200 };
const READS: Slices = { turns: 1, slices: 3, warm: 3 };

/** One of the two that are compared: so many turns of something. */
interface Side {
  name: string;
  /** Before each slice, and not measured. */
  before?: () => void;
  run: (turns: number) => void;
}

/** A vCPU in real mode that writes to a port and reads a register for ever. */
function exiting(): Vcpu {
  const vm = new Kvm().createVm();
  const ram = new Mapping(4096);
  // out dx, al; mov al, [0]; jmp back
  new Uint8Array(ram.buffer).set([0xee, 0xa0, 0x00, 0x00, 0xeb, 0xfa]);
  vm.setUserMemoryRegion(0, RAM, ram.size, ram.address);
  const vcpu = vm.createVcpu(0);
  const sregs = vcpu.getSregs();
  const cs = { ...sregs.segment("cs"), base: 0n, selector: 0 };
  sregs.setSegment("cs", cs);
  const ds = { ...sregs.segment("ds"), base: BigInt(REGISTER) };
  sregs.setSegment("ds", { ...ds, selector: REGISTER >> 4 });
  vcpu.setSregs(sregs);
  vcpu.setRegs({ rip: BigInt(RAM), rdx: BigInt(PORT), rflags: 2n });
  return vcpu;
}

/** Nanoseconds of each turn of a slice. */
function time({ before, run }: Side, turns: number): number {
  before?.();
  const start = performance.now();
  run(turns);
  return (performance.now() - start) * 1e6 / turns;
}

/** Both by turns; each slice begins with the other one. */
function compare(
  what: string,
  { turns, slices, warm }: Slices,
  a: Side,
  b: Side,
  events = 1,
): void {
  const slice = (i: number): [number, number] => {
    if (i % 2 === 0) return [time(a, turns), time(b, turns)];
    const second = time(b, turns);
    return [time(a, turns), second];
  };
  for (let i = 0; i < warm; i++) slice(i);
  const middle = (values: number[]) => spread(values).median;
  const pairs = Array.from({ length: PAIRS }, () => {
    const both = Array.from({ length: slices }, (_, i) => slice(i));
    return {
      a: middle(both.map(([a]) => a)),
      b: middle(both.map(([, b]) => b)),
      ratio: middle(both.map(([a, b]) => b / a)),
      more: middle(both.map(([a, b]) => b - a)),
    };
  });
  const of = (key: keyof typeof pairs[0]) => spread(pairs.map((p) => p[key]));
  const { median, min, max } = of("ratio");
  const more = of("more").median;
  const share = 100 * more / events * RATE / 1e9;
  console.log(
    `${what}: ${a.name} ${of("a").median.toFixed(1)} ns, ` +
      `${b.name} ${of("b").median.toFixed(1)} ns; ` +
      `ratio ${median.toFixed(3)} (${min.toFixed(3)} to ${max.toFixed(3)}), ` +
      `${more.toFixed(0)} ns more: ` +
      `${share.toFixed(1)} % of a core at ${RATE / 1000} k a second`,
  );
}

const page = Recorder.create(1);
const recorder = new Recorder(page);
const exits = new ExitRecorder(page, 0);
const vcpu = exiting();
const ALL = 0x7fff_ffff;
const wanting = (kinds: number) => () => {
  recorder.wanted = kinds;
};
const off = { name: "counted", before: wanting(0) };
const on = { name: "recorded", before: wanting(ALL) };

// The exit's whole way, as a machine's vCPU has it.
let written = 0;
const device: BusDevice = {
  read: () => written,
  write: (_offset, _size, value) => void (written = value),
};
const ports = new Bus();
ports.add(PORT, 1, device);
const mmio = new Bus();
mmio.add(REGISTER, 0x1000, device);
const enough: MachineEnd = { reason: "stopped" };
let left = 0; // exits, of which each second one is a port's write
const loop = new VcpuLoop(vcpu, {
  ...{ id: 0, control: new Control(), exits, ports, mmio, refuses: false },
  ended: () => (left -= 2) > 0 ? undefined : enough,
  paused() {},
  debugStop() {},
});
const exit = (turns: number) => {
  left = turns;
  loop.run();
};
compare("an exit beside itself", IN_PLACE, { ...off, run: exit }, {
  ...off,
  run: exit,
});
compare("an exit", IN_PLACE, { ...off, run: exit }, { ...on, run: exit });

// Without an answer: what counting adds.
const enter = (turns: number) => {
  for (let i = 0; i < turns; i++) vcpu.enter();
};
const counted = (turns: number) => {
  for (let i = 0; i < turns; i++) {
    vcpu.enter();
    if (exits.began(vcpu.run)) exits.ended(vcpu.run);
  }
};
compare("an exit, unanswered", IN_PLACE, {
  ...off,
  name: "bare",
  run: enter,
}, { ...off, run: counted });

// The same without KVM: only what is added.
const told = (turns: number) => {
  for (let i = 0; i < turns; i++) {
    if (exits.began(vcpu.run)) exits.ended(vcpu.run);
  }
};
compare("what is added to an exit", ALONE, { ...off, run: told }, {
  ...on,
  run: told,
});
const stamped = (turns: number) => {
  for (let i = 0; i < turns; i++) {
    if (exits.began(vcpu.run)) exits.ended(vcpu.run);
    recorder.now();
  }
};
compare("of which a stamp is", ALONE, { ...off, run: told }, {
  ...off,
  name: "with a stamp",
  run: stamped,
});

const counter = new DeviceRecorder(recorder, 0);
const request = (turns: number) => {
  for (let i = 0; i < turns; i++) {
    counter.served(0, true);
    counter.began(1, 0, 0, 8, 4096);
    counter.ended(1, 0);
    counter.interrupted(0);
  }
};
compare(
  "a request from doorbell to interrupt",
  ALONE,
  { ...off, run: request },
  { ...on, run: request },
  4,
);

// A live page's log reads twice a second.
const parts = {
  vcpus: [{ start: { record: page } }],
  devices: [],
} as unknown as MachineParts;
const reading = (name: string, last?: number): Side => {
  const reader = new TraceReader(parts, last === undefined ? {} : { last });
  const run = () => {
    for (let i = 0; i < EVENTS_KEPT; i++) {
      recorder.record(i, 1, 0, 0, Exit.MMIO, 0xc000_0000, 1, 1);
    }
    reader.read();
  };
  return { name, run };
};
compare(
  `${EVENTS_KEPT} events`,
  READS,
  reading("the last 200 read", 200),
  reading("all read"),
  EVENTS_KEPT,
);
