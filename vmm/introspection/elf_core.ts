/**
 * A machine as an ELF core file, which gdb opens with the kernel's vmlinux: its
 * memory where the first vCPU's page tables have it, and each vCPU's registers.
 * Structures are those of <elf.h> and <sys/procfs.h>.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { qemuCpuState } from "./qemu_cpu_state.ts";
import type { MachineView } from "./machine_view.ts";
import { type MappedRun, mappedRuns } from "./mapped_runs.ts";
import { zeroPages } from "../snapshot/runs.ts";
import type { VcpuView } from "./vcpu_view.ts";

const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const NT_PRSTATUS = 1;
const NT_FPREGSET = 2;
/** Where memory begins is a multiple of it, so that holes are. */
const PAGE = 4096;
/** Bytes that are looked through for zeros, and written at once. */
const CHUNK = 1024 * 1024;
const FXSAVE_SIZE = 512;

/** `struct elf_prstatus`, of which only this is filled in. */
const Prstatus = {
  CURSIG: 12,
  PID: 32,
  REG: 112,
  FPVALID: 328,
  SIZE: 336,
} as const;
const SIGINT = 2;

/** The order of `struct user_regs_struct`; what isn't general is special. */
const USER_REGS = [
  ...["r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8"],
  ...["rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "rflags"],
  ...["rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"],
];

/**
 * Writes the core of a paused machine; pages of zeros are holes.
 *
 * @param path a new file, for its owner only
 * @throws {VireoError} it can't be written; nothing is left of it
 */
export async function writeElfCore(
  view: MachineView,
  path: string,
): Promise<void> {
  const file = create(path);
  try {
    await writeAll(view, file);
  } catch (error) {
    Deno.removeSync(path);
    throw new VireoError(`core "${path}": ${(error as Error).message}`);
  } finally {
    file.close();
  }
}

function create(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const exists = error instanceof Deno.errors.AlreadyExists;
    const why = exists ? "exists already" : (error as Error).message;
    throw new VireoError(`core "${path}": ${why}`);
  }
}

async function writeAll(view: MachineView, file: Deno.FsFile): Promise<void> {
  const { regions } = view.memory;
  const runs = mappedRuns(view);
  const notes = join(view.vcpus.flatMap(notesOf));
  const head = EHDR_SIZE + PHDR_SIZE * (1 + runs.length);
  const data = Math.ceil((head + notes.length) / PAGE) * PAGE;
  // In the file, RAM is in one piece, whatever is mapped where.
  const offsets = new Map<number, number>();
  let size = data;
  for (const region of regions) {
    offsets.set(region.guestAddress, size);
    size += region.size;
  }
  const offsetOf = (physical: number) => {
    const region = view.memory.find(physical, 1)!;
    return offsets.get(region.guestAddress)! + physical - region.guestAddress;
  };
  const headers = [
    programHeader({ type: PT_NOTE, offset: head, size: notes.length }),
    ...runs.map((run) => loadHeader(run, offsetOf(run.physical))),
  ];
  await put(file, 0, join([fileHeader(headers.length), ...headers, notes]));
  for (const { guestAddress, u8 } of regions) {
    await putSparse(file, offsets.get(guestAddress)!, u8);
  }
  file.truncateSync(size);
}

function fileHeader(count: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(EHDR_SIZE));
  view.setUint32(0, 0x7f454c46); // "\x7fELF"
  view.setUint8(4, 2); // ELFCLASS64
  view.setUint8(5, 1); // ELFDATA2LSB
  view.setUint8(6, 1); // EV_CURRENT
  view.setUint16(16, ET_CORE, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, BigInt(EHDR_SIZE), true); // e_phoff
  view.setUint16(52, EHDR_SIZE, true);
  view.setUint16(54, PHDR_SIZE, true);
  view.setUint16(56, count, true);
  return new Uint8Array(view.buffer);
}

function loadHeader(run: MappedRun, offset: number): Uint8Array {
  return programHeader({ type: PT_LOAD, offset, ...run });
}

function programHeader(
  header: {
    type: number;
    offset: number;
    size: number;
    linear?: bigint;
    physical?: number;
  },
): Uint8Array {
  const { type, offset, size, linear = 0n, physical = 0 } = header;
  const RWX = 7;
  const view = new DataView(new ArrayBuffer(PHDR_SIZE));
  view.setUint32(0, type, true);
  view.setUint32(4, type === PT_LOAD ? RWX : 0, true);
  const words = [offset, linear, physical, size, size, 0];
  words.forEach((word, i) => view.setBigUint64(8 + 8 * i, BigInt(word), true));
  return new Uint8Array(view.buffer);
}

function notesOf(vcpu: VcpuView): Uint8Array[] {
  return [
    note("CORE", NT_PRSTATUS, prstatus(vcpu)),
    note("CORE", NT_FPREGSET, fxsave(vcpu)),
    note("QEMU", 0, qemuCpuState(vcpu)),
  ];
}

/** A thread's registers; threads are vCPUs, and the first is 1. */
function prstatus(vcpu: VcpuView): Uint8Array {
  const { registers, special } = vcpu;
  const values: Record<string, bigint> = { ...registers, orig_rax: ~0n };
  for (const name of ["cs", "ss", "ds", "es", "fs", "gs"] as const) {
    values[name] = BigInt(special.segment(name).selector);
  }
  values.fs_base = special.segment("fs").base;
  values.gs_base = special.segment("gs").base;
  const view = new DataView(new ArrayBuffer(Prstatus.SIZE));
  view.setUint16(Prstatus.CURSIG, SIGINT, true);
  view.setUint32(Prstatus.PID, vcpu.id + 1, true);
  USER_REGS.forEach((name, i) => {
    const value = BigInt.asUintN(64, values[name]!);
    view.setBigUint64(Prstatus.REG + 8 * i, value, true);
  });
  view.setUint32(Prstatus.FPVALID, 1, true);
  return new Uint8Array(view.buffer);
}

/** What FXSAVE stores; a component in its first state is not in XSAVE's area. */
function fxsave(vcpu: VcpuView): Uint8Array {
  const area = vcpu.vcpu.getXsave();
  const used = area[512]!; // XSTATE_BV
  const view = new DataView(area.buffer);
  if (!(used & 1)) {
    area.fill(0, 0, 24);
    area.fill(0, 32, 160);
    view.setUint16(0, 0x37f, true); // FCW
  }
  if (!(used & 6)) view.setUint32(24, 0x1f80, true); // MXCSR
  if (!(used & 2)) area.fill(0, 160, 416);
  return area.subarray(0, FXSAVE_SIZE);
}

/** `Elf64_Nhdr`, the name and its zero, and what it says, each padded to 4. */
function note(name: string, type: number, bytes: Uint8Array): Uint8Array {
  const padded = (length: number) => Math.ceil(length / 4) * 4;
  const at = 12 + padded(name.length + 1);
  const result = new Uint8Array(at + padded(bytes.length));
  const view = new DataView(result.buffer);
  view.setUint32(0, name.length + 1, true);
  view.setUint32(4, bytes.length, true);
  view.setUint32(8, type, true);
  result.set(new TextEncoder().encode(name), 12);
  result.set(bytes, at);
  return result;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function put(
  file: Deno.FsFile,
  at: number,
  bytes: Uint8Array,
): Promise<void> {
  file.seekSync(at, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) {
    done += await file.write(bytes.subarray(done));
  }
}

/** Chunks with nothing but zeros are left out. */
async function putSparse(
  file: Deno.FsFile,
  at: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  for (let from = 0; from < bytes.length; from += CHUNK) {
    const chunk = bytes.slice(from, from + CHUNK);
    const isZero = zeroPages(chunk);
    for (let page = 0; page < chunk.length;) {
      let end = page;
      while (end < chunk.length && !isZero(end)) end += PAGE;
      if (end > page) {
        await put(file, at + from + page, chunk.subarray(page, end));
      }
      page = end + PAGE;
    }
  }
}
