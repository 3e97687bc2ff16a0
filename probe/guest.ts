/**
 * What only a guest can find out: how fast its code runs at which privilege,
 * what an exit costs, which instructions KVM refuses. Measured, because names
 * of CPU features say little about it.
 *
 * @module
 */
import { VireoError } from "../ffi/errno.ts";
import { EventFd } from "../ffi/eventfd.ts";
import type { Kvm } from "../ffi/kvm/kvm.ts";
import { Gsi } from "../guest/layout.ts";
import {
  type ExitReport,
  type GuestReport,
  type InstructionReport,
  type SpeedReport,
  Syscall,
} from "./report.ts";
import {
  SYSCALL_ARRIVED,
  SYSCALL_ENTRY,
  TINY_MMIO,
  type TinyEnd,
  TinyGuest,
} from "./tiny_guest.ts";

/** Milliseconds of one measurement, of which the best counts. */
const MEASURE = 25;
const MEASUREMENTS = 4;
/** The longest one, and the longest that a question waits for its answer. */
const PATIENCE = 2000, QUESTION = 2000;

const HLT = 0xf4;
/** `loop: dec rcx; jnz loop; hlt`: two instructions a turn. */
const COUNTDOWN = [0x48, 0xff, 0xc9, 0x75, 0xfb, HLT];
const PER_TURN = 2;
/** Turns that no host finishes within the time. */
const ENDLESS = 1n << 60n;

/** `in al, 0xf2` and `mov eax, [mmio]`, for ever. */
const PIO_LOOP = [0xe4, 0xf2, 0xeb, 0xfc];
const ADDRESS = [...new Uint8Array(Uint32Array.of(TINY_MMIO.virtual).buffer)];
const MMIO_LOOP = [0x8b, 0x04, 0x25, ...ADDRESS, 0xeb, 0xf7];
/** `mov [mmio], eax` */
const MMIO_WRITE = [0x89, 0x04, 0x25, ...ADDRESS];
const SYSCALL = [0x0f, 0x05];

const UD = 6, PF = 14;
/** Times slower at CPL0 than at CPL3: emulation is hundreds of times. */
const EMULATED = 20;

type Run = "runKernel" | "runUser";

/** An instruction to try. */
export interface TriedInstruction {
  /** Its name. */
  readonly name: string;
  /** Its bytes. */
  readonly code: readonly number[];
  /** The exception that it is there for. */
  readonly vector?: number;
}

/** Instructions of kernels, with RDI at aligned memory, EAX = 1, ECX = 0. */
export const INSTRUCTIONS: readonly TriedInstruction[] = [
  { name: "INT3", code: [0xcc], vector: 3 },
  { name: "FWAIT", code: [0x9b] },
  { name: "CLAC", code: [0x0f, 0x01, 0xca] },
  { name: "STAC", code: [0x0f, 0x01, 0xcb] },
  { name: "POPCNT", code: [0xf3, 0x48, 0x0f, 0xb8, 0xc0] },
  { name: "XGETBV", code: [0x0f, 0x01, 0xd0] },
  { name: "XSAVE", code: [0x0f, 0xae, 0x27] },
  { name: "CMPXCHG16B", code: [0x48, 0x0f, 0xc7, 0x0f] },
  { name: "FXSAVE", code: [0x0f, 0xae, 0x07] },
  { name: "LDMXCSR", code: [0x0f, 0xae, 0x17] },
  { name: "RDTSCP", code: [0x0f, 0x01, 0xf9] },
  { name: "CRC32", code: [0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xc0] },
];

/** Asks a guest everything: about a second. */
export function probeGuest(kvm: Kvm): GuestReport {
  return {
    speed: speed(kvm),
    exits: exits(kvm),
    syscall: syscall(kvm),
    instructions: tryInstructions(kvm, INSTRUCTIONS),
    ioeventfd: ioeventfd(kvm),
    irqfd: irqfd(kvm),
  };
}

/** Tries each at CPL0, and what KVM refuses once more with Vireo's help. */
export function tryInstructions(
  kvm: Kvm,
  instructions: readonly TriedInstruction[],
): InstructionReport[] {
  using guest = new TinyGuest(kvm);
  return instructions.map(({ name, code, vector }) => {
    const end = guest.runKernel([...code, HLT], QUESTION, { rax: 1n });
    if (end.kind !== "refused") return { name, outcome: outcome(end, vector) };
    const carried = outcome(guest.carryOut(QUESTION), vector);
    return {
      name,
      outcome: carried === "works" ? "refused, carried out" : carried,
    };
  });
}

function outcome(end: TinyEnd, expected: number | undefined): string {
  switch (end.kind) {
    case "halt":
      return expected === undefined ? "works" : "does nothing";
    case "vector":
      if (end.vector === expected) return "works";
      return end.vector === UD ? "not in this CPU" : `#${end.vector}`;
    case "refused":
      return "refused";
    case "timeout":
      return `no end within ${QUESTION} ms`;
    case "other":
      return end.exit;
  }
}

/** Whether guest kernel code is emulated, in a few milliseconds. */
export function emulatesKernel(kvm: Kvm): boolean {
  const TURNS = 8000;
  const TRIES = 3;
  const INSTRUCTIONS_PER_MS = 20_000;
  using guest = new TinyGuest(kvm);
  for (let i = 0; i < TRIES; i++) {
    const start = performance.now();
    const end = guest.runKernel(COUNTDOWN, QUESTION, { rcx: BigInt(TURNS) });
    const rate = TURNS * PER_TURN / (performance.now() - start);
    // The quickest counts: a thread may lose its core, but gains no speed.
    if (end.kind === "halt" && rate > INSTRUCTIONS_PER_MS) return false;
  }
  return true;
}

function speed(kvm: Kvm): SpeedReport {
  using guest = new TinyGuest(kvm);
  const kernel = best((limit) => rate(guest, "runKernel", limit));
  const user = best((limit) => rate(guest, "runUser", limit));
  return { kernel, user, emulatesKernel: kernel * EMULATED < user };
}

function exits(kvm: Kvm): ExitReport {
  using guest = new TinyGuest(kvm);
  const cost = (run: Run, code: readonly number[]) =>
    Math.round(1e9 / best((limit) => exitRate(guest, run, code, limit)));
  return {
    pioKernel: cost("runKernel", PIO_LOOP),
    pioUser: cost("runUser", PIO_LOOP),
    mmioKernel: cost("runKernel", MMIO_LOOP),
    mmioUser: cost("runUser", MMIO_LOOP),
  };
}

/**
 * The highest of some rates: others may have had the cores meanwhile. When a
 * thread got none of them, it is measured for longer.
 */
function best(measure: (limit: number) => number): number {
  let highest = 0;
  for (let i = 0; i < MEASUREMENTS; i++) {
    highest = Math.max(highest, measure(MEASURE));
  }
  for (let limit = 2 * MEASURE; highest === 0; limit *= 2) {
    if (limit > PATIENCE) {
      throw new VireoError(`a guest did nothing for ${PATIENCE} ms`);
    }
    highest = measure(limit);
  }
  return Math.round(highest);
}

/** Instructions per second. */
function rate(guest: TinyGuest, run: Run, limit: number): number {
  const start = performance.now();
  const end = guest[run](COUNTDOWN, limit, { rcx: ENDLESS });
  const seconds = (performance.now() - start) / 1000;
  if (end.kind !== "timeout") throw unexpected("a loop", end);
  const { rcx } = guest.registers;
  return Number(ENDLESS - rcx) * PER_TURN / seconds;
}

/** Exits per second. */
function exitRate(
  guest: TinyGuest,
  run: Run,
  code: readonly number[],
  limit: number,
): number {
  const before = guest.exits;
  const start = performance.now();
  const end = guest[run](code, limit);
  const seconds = (performance.now() - start) / 1000;
  if (end.kind !== "timeout") throw unexpected("a loop of exits", end);
  return (guest.exits - before) / seconds;
}

function syscall(kvm: Kvm): string {
  using guest = new TinyGuest(kvm);
  const end = guest.runUser(SYSCALL, QUESTION);
  if (end.kind !== "vector") return outcome(end, undefined);
  switch (end.vector) {
    case SYSCALL_ARRIVED:
      return Syscall.ARRIVES;
    case PF:
      return end.cr2 === SYSCALL_ENTRY
        ? Syscall.HALF_DONE
        : `#PF at 0x${end.cr2.toString(16)}`;
    default:
      return `#${end.vector}`;
  }
}

function ioeventfd(kvm: Kvm): boolean {
  using guest = new TinyGuest(kvm);
  using doorbell = new EventFd();
  const at = { address: TINY_MMIO.physical, length: 4, datamatch: 7 };
  guest.vm.ioeventfd(doorbell.fd, at);
  const end = guest.runKernel([...MMIO_WRITE, HLT], QUESTION, { rax: 7n });
  return end.kind === "halt" && guest.exits === 0 && doorbell.drain();
}

function irqfd(kvm: Kvm): boolean {
  using vm = kvm.createVm();
  using interrupt = new EventFd();
  try {
    vm.createIrqchip();
    vm.irqfd(interrupt.fd, Gsi.VIRTIO);
    return true;
  } catch (error) {
    if (error instanceof VireoError) return false;
    throw error;
  }
}

function unexpected(what: string, end: TinyEnd): VireoError {
  return new VireoError(`${what} in a guest ended with ${JSON.stringify(end)}`);
}
