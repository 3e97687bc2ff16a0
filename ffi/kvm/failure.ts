/**
 * Why a vCPU can't go on, for people: what `struct kvm_run` says of it (KVM API
 * §5), and the vCPU's registers.
 *
 * @module
 */
import { errnoName, errnoText, SystemError } from "../errno.ts";
import type {
  ControlName,
  Registers,
  SegmentName,
  SpecialRegisters,
} from "./registers.ts";
import {
  Exit,
  exitName,
  InternalError,
  type KvmRun,
  KvmRunOffset as At,
} from "./run.ts";
import type { Vcpu } from "./vcpu.ts";

/**
 * What a CPU says of a VM entry that it refuses. VMX: the exit's reason with
 * bit 31 (Intel SDM, volume 3, "VM-Entry Failures"), or the number of a
 * VM-instruction error ("VM-Instruction Error Numbers"). SVM: the exit code
 * VMEXIT_INVALID, -1 (AMD's manual, volume 2, appendix C), of 32 or 64 bits.
 */
const ENTRY_FAILURES: ReadonlyMap<bigint, string> = new Map([
  [7n, "VM entry with invalid control fields"],
  [8n, "VM entry with invalid host-state fields"],
  [0x8000_0021n, "VM entry with invalid guest state"],
  [0x8000_0022n, "VM entry: an MSR could not be loaded"],
  [0x8000_0029n, "VM entry: machine check"],
  [0xffff_ffffn, "VMEXIT_INVALID: a state that SVM refuses"],
  [0xffff_ffff_ffff_ffffn, "VMEXIT_INVALID: a state that SVM refuses"],
]);

/** The longest list of data words in `struct kvm_run`. */
const DATA_MAX = 16;

const CONTROLS: readonly ControlName[] = ["cr0", "cr2", "cr3", "cr4", "efer"];
const SEGMENTS: readonly SegmentName[] = ["cs", "ss", "tr"];

/**
 * Lines of text: the reason in the first one, then the registers.
 *
 * @param errno what `KVM_RUN` failed with, or 0: it is an exit that nobody
 *   answers
 * @param because more of the reason, or empty
 */
export function vcpuFailure(vcpu: Vcpu, errno: number, because = ""): string {
  const lines = [reason(vcpu, errno) + (because && `: ${because}`)];
  try {
    lines.push(...generalRegisters(vcpu.getRegs()));
    lines.push(...specialRegisters(vcpu.getSregs()));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    lines.push(error.message);
  }
  return lines.join("\n");
}

function reason(vcpu: Vcpu, errno: number): string {
  const { run } = vcpu;
  if (errno !== 0) {
    const code = `KVM_RUN: ${errnoName(errno)} (${errnoText(errno)})`;
    return run.exitReason === Exit.MEMORY_FAULT
      ? `${code}: ${exitReport(run)}`
      : code;
  }
  const isRefusal = run.exitReason === Exit.INTERNAL_ERROR &&
    run.internalSuberror === InternalError.EMULATION;
  return isRefusal ? refusedInstruction(vcpu) : exitReport(run);
}

/** An exit that nobody answers: its name, and what comes with it. */
function exitReport(run: KvmRun): string {
  const details = exitDetails(run);
  return exitName(run.exitReason) + (details && `: ${details}`);
}

function exitDetails(run: KvmRun): string {
  const view = new DataView(run.u8.buffer, run.u8.byteOffset);
  const u32 = (at: number) => view.getUint32(at, true);
  const u64 = (at: number) => view.getBigUint64(at, true);
  const data = (countAt: number, at: number) => {
    const count = Math.min(u32(countAt), DATA_MAX);
    const words = Array.from({ length: count }, (_, i) => hex(u64(at + 8 * i)));
    return `data ${words.join(" ") || "none"}`;
  };
  switch (run.exitReason) {
    case Exit.UNKNOWN:
      return `hardware exit reason ${hex(u64(At.hardware_exit_reason))}`;
    case Exit.EXCEPTION:
      return `exception ${u32(At.exception)}, ` +
        `error code ${hex(u32(At.exception_error_code))}`;
    case Exit.FAIL_ENTRY: {
      const code = u64(At.hardware_entry_failure_reason);
      const meaning = ENTRY_FAILURES.get(code);
      return `hardware reason ${hex(code)}${meaning ? ` (${meaning})` : ""}, ` +
        `on the host's CPU ${u32(At.fail_entry_cpu)}`;
    }
    case Exit.INTERNAL_ERROR: {
      const words = data(At.internal_ndata, At.internal_data);
      return `${suberror(run.internalSuberror)}, ${words}`;
    }
    case Exit.SYSTEM_EVENT: {
      const words = data(At.system_event_ndata, At.system_event_data);
      return `type ${u32(At.system_event_type)}, ${words}`;
    }
    case Exit.NOTIFY:
      return `flags ${hex(u32(At.notify_flags))}`;
    case Exit.MEMORY_FAULT:
      return `guest address ${hex(u64(At.memory_fault_gpa))} + ` +
        `${hex(u64(At.memory_fault_size))}, ` +
        `flags ${hex(u64(At.memory_fault_flags))}`;
    default:
      return "";
  }
}

function suberror(value: number): string {
  const known = Object.entries(InternalError)
    .find(([, number]) => number === value);
  return `suberror ${value}${known ? ` (${known[0]})` : ""}`;
}

/** The instruction in front of which KVM gave up. */
function refusedInstruction(vcpu: Vcpu): string {
  const bytes = Array.from(
    vcpu.run.instructionBytes,
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join(" ");
  const { rip } = vcpu.getRegs();
  return `KVM can't emulate the instruction ${bytes || "(no bytes)"} ` +
    `at RIP ${hex(rip)}`;
}

function generalRegisters(registers: Registers): string[] {
  return inRows(Object.entries(registers));
}

function specialRegisters(sregs: SpecialRegisters): string[] {
  const controls = CONTROLS.map((name) => [name, sregs.control(name)] as const);
  const segments = SEGMENTS.map((name) => {
    const { selector, base, limit, ...access } = sregs.segment(name);
    const flags = Object.entries(access).map(([flag, value]) =>
      `${flag} ${value.toString(16)}`
    );
    return `${name.padEnd(6)} ${selector.toString(16).padStart(4, "0")}  ` +
      `base ${wide(base)}  limit ${limit.toString(16).padStart(8, "0")}  ` +
      flags.join(" ");
  });
  return [...inRows(controls), ...segments];
}

/** Three registers a line. */
function inRows(values: readonly (readonly [string, bigint])[]): string[] {
  const cells = values.map(([name, value]) =>
    `${name.padEnd(6)} ${wide(value)}`
  );
  const rows = Math.ceil(cells.length / 3);
  return Array.from(
    { length: rows },
    (_, row) => cells.slice(3 * row, 3 * row + 3).join("  "),
  );
}

function wide(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
