/**
 * The note that QEMU's dumps have for each CPU, `struct QEMUCPUState` of its
 * target/i386/arch_dump.c: what `NT_PRSTATUS` has no room for. Programs that read
 * a kernel's memory take its control registers.
 *
 * @module
 */
import type { RegisterName, SegmentName } from "../../ffi/kvm/registers.ts";
import type { VcpuView } from "./vcpu_view.ts";

const VERSION = 1;
const SIZE = 440;
const IA32_KERNEL_GS_BASE = 0xc000_0102;

const GENERAL: readonly RegisterName[] = [
  ...["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"] as const,
  ...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const,
  ...["rip", "rflags"] as const,
];
const SEGMENTS: readonly SegmentName[] = [
  ...["cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr"] as const,
];
const CONTROLS = ["cr0", undefined, "cr2", "cr3", "cr4"] as const;

/** A vCPU's note. */
export function qemuCpuState(vcpu: VcpuView): Uint8Array {
  const { registers, special } = vcpu;
  const view = new DataView(new ArrayBuffer(SIZE));
  let at = 0;
  const word = (value: number) => {
    view.setUint32(at, value, true);
    at += 4;
  };
  const long = (value: bigint) => {
    view.setBigUint64(at, value, true);
    at += 8;
  };
  const segment = (
    selector: number,
    limit: number,
    flags: number,
    base: bigint,
  ) => {
    [selector, limit, flags, 0].forEach(word);
    long(base);
  };
  word(VERSION);
  word(SIZE);
  for (const name of GENERAL) long(registers[name]);
  for (const name of SEGMENTS) {
    const { selector, limit, base, ...bits } = special.segment(name);
    // The descriptor's second word, without base and limit (SDM vol. 3, 3.4.5).
    const flags = bits.type << 8 | bits.s << 12 | bits.dpl << 13 |
      bits.present << 15 | bits.l << 21 | bits.db << 22 | bits.g << 23;
    segment(selector, limit, flags, base);
  }
  for (const name of ["gdt", "idt"] as const) {
    const { base, limit } = special.table(name);
    segment(0, limit, 0, base);
  }
  for (const name of CONTROLS) long(name ? special.control(name) : 0n);
  long(vcpu.vcpu.getMsr(IA32_KERNEL_GS_BASE) ?? 0n);
  return new Uint8Array(view.buffer);
}
