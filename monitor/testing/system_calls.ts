/**
 * For tests: programs that make system calls for ever, and their kernel, beside
 * the payload's.
 *
 * @module
 */
import { Msr } from "../../ffi/kvm/msr.ts";
import type { MachineView } from "../../vmm/introspection/machine_view.ts";
import type { VcpuView } from "../../vmm/introspection/vcpu_view.ts";

/** Pages of 2 MiB: the programs', one that is theirs at a fault, the kernel's. */
const PROGRAMS = 0xc0_0000, LATER = 0xa0_0000, KERNEL = 0xe0_0000;
const LARGE_PAGE = 0x20_0000;
const USER = 4n;
const EFER_SCE = 1n;
const PAGE_FAULT = 14;
const COUNTER = PROGRAMS + 0x1000;

/** Where the program's instructions begin; the last jumps to the first. */
export const PROGRAM = [0, 1, 6, 8, 9, 12].map((at) => BigInt(PROGRAMS + at));
/** Which of them is SYSCALL. */
export const SYSCALL = 2;
/** A program that reads what isn't its own before: NOP, MOV, NOP. */
export const FAULTS = [0, 1, 8, 9].map((at) => BigInt(PROGRAMS + 0x100 + at));
/** Where SYSCALL goes to. */
export const ENTRY = BigInt(KERNEL);
/** Where the page fault's handler goes when that was a system call. */
export const HANDLER = [0, 9, 25, 29, 33, 40, 45].map((at) =>
  BigInt(KERNEL + 0x100 + at)
);

/** Has all vCPUs run the program, each with a counter of its own. */
export function runSystemCalls(view: MachineView): void {
  const { vcpus, memory } = view;
  const put = (at: bigint | undefined, ...bytes: number[]) =>
    memory.write(Number(at), Uint8Array.from(bytes));
  put(
    PROGRAM[0],
    ...[0x90, 0xb8, 5, 0, 0, 0, 0x0f, 0x05], // nop; mov eax, 5; syscall
    ...[0x90, 0x48, 0xff, 0x03, 0xeb, 0xf2], // nop; inc qword [rbx]; jmp
  );
  put(FAULTS[0], 0x90, 0x8a, 0x04, 0x25, ...u32(LATER), 0x90, 0x90); // mov al
  put(ENTRY, 0x48, 0x0f, 0x07); // sysretq
  put(
    HANDLER[0],
    ...[0x48, 0x81, 0x7c, 0x24, 8, ...u32(KERNEL), 0x74, 14], // cmp [rsp + 8]
    ...[0x80, 0x0c, 0x25, ...u32(entryOf(view, LATER)), Number(USER)], // or
    ...[0x48, 0x83, 0xc4, 8, 0x48, 0xcf], // add rsp, 8; iretq
    // As Linux does it: the rest of SYSCALL and of SYSRET, without interrupts.
    ...[0x48, 0x83, 0xc4, 8, 0x48, 0x89, 0x0c, 0x24], // mov [rsp], rcx
    ...[0x49, 0x81, 0xe3, ...u32(~0x200), 0x4c, 0x89, 0x5c, 0x24, 16], // r11
    ...[0x48, 0xcf],
  );
  take(view, KERNEL);
  take(view, LATER);
  const idt = Number(vcpus[0]!.special.table("idt").base);
  const gate = memory.view(idt + PAGE_FAULT * 16, 16);
  gate.setUint16(0, Number(HANDLER[0]! & 0xffffn), true);
  gate.setUint16(6, Number(HANDLER[0]! >> 16n), true);
  vcpus.forEach(start);
}

function start(vcpu: VcpuView): void {
  const { special } = vcpu;
  special.setControl("efer", special.control("efer") | EFER_SCE);
  vcpu.vcpu.setSregs(special);
  vcpu.vcpu.setMsrs([
    [Msr.LSTAR, ENTRY],
    [Msr.STAR, 0x10n << 32n | 0x23n << 48n],
    [Msr.SYSCALL_MASK, 0x4_0700n],
  ]);
  vcpu.setRegisters({ rip: PROGRAM[0]!, rbx: BigInt(counterOf(vcpu.id)) });
}

/** How many system calls each vCPU has made. */
export function systemCalls({ vcpus, memory }: MachineView): bigint[] {
  return vcpus.map(({ id }) =>
    memory.view(counterOf(id), 8).getBigUint64(0, true)
  );
}

/** {@linkcode FAULTS} faults again. */
export function takeAway(view: MachineView): void {
  take(view, LATER);
  // Another CR3, and back: KVM forgets what it knew of the page.
  const { vcpu, special } = view.vcpus[0]!;
  const cr3 = special.control("cr3");
  for (const value of [cr3 ^ 0x1000n, cr3]) {
    special.setControl("cr3", value);
    vcpu.setSregs(special);
  }
}

/** Takes a page from the programs. */
function take(view: MachineView, page: number): void {
  const entry = view.memory.view(entryOf(view, page), 8);
  entry.setBigUint64(0, entry.getBigUint64(0, true) & ~USER, true);
}

/** Where its entry in the page tables is. */
function entryOf(
  { vcpus, memory }: MachineView,
  page: number,
): number {
  let table = Number(vcpus[0]!.special.control("cr3"));
  for (let level = 0; level < 2; level++) {
    const entry = memory.view(table, 8).getBigUint64(0, true);
    table = Number(entry & 0xf_ffff_f000n);
  }
  return table + page / LARGE_PAGE * 8;
}

function counterOf(vcpu: number): number {
  return COUNTER + vcpu * 64;
}

function u32(value: number): number[] {
  return [...new Uint8Array(Uint32Array.of(value).buffer)];
}
