/**
 * Reads and sets a vCPU's registers by gdb's numbers for them.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { REGISTER_NAMES } from "../../ffi/kvm/registers.ts";
import type { VcpuView } from "../../vmm/introspection/vcpu_view.ts";
import {
  GDB_REGISTERS,
  type GdbRegister,
  numberOf,
  type RegisterFile,
} from "./registers.ts";

const IA32_KERNEL_GS_BASE = 0xc000_0102;

/** A vCPU's registers as they are. */
export function readFile(view: VcpuView): RegisterFile {
  return {
    general: view.registers,
    special: view.special,
    xsave: view.vcpu.getXsave(),
    kernelGsBase: view.vcpu.getMsr(IA32_KERNEL_GS_BASE) ?? 0n,
  };
}

/** All of them, in gdb's order. */
export function readAll(file: RegisterFile): Uint8Array {
  const parts = GDB_REGISTERS.map((register) => register.read(file));
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

/**
 * Sets registers from all of them in gdb's order; more at the end may be
 * missing.
 *
 * @throws {VireoError} one can't be set, or KVM refuses it
 */
export function writeAll(view: VcpuView, bytes: Uint8Array): void {
  const file = readFile(view);
  let at = 0;
  for (const register of GDB_REGISTERS) {
    const value = bytes.subarray(at, at + register.bits / 8);
    at += register.bits / 8;
    if (at > bytes.length) break;
    change(register, file, value);
  }
  writeFile(view, file);
}

/**
 * Sets a register.
 *
 * @throws {VireoError} it can't be set, or KVM refuses it
 */
export function writeRegister(
  view: VcpuView,
  register: GdbRegister,
  value: Uint8Array,
): void {
  const file = readFile(view);
  change(register, file, value);
  writeFile(view, file);
}

function change(
  register: GdbRegister,
  file: RegisterFile,
  value: Uint8Array,
): void {
  const { name, bits, write } = register;
  if (value.length !== bits / 8) throw new VireoError(`${name}: ${bits} bits`);
  if (numberOf(value) === numberOf(register.read(file))) return;
  if (write === undefined) throw new VireoError(`${name} can't be set`);
  write(file, value);
}

/** Only what has changed: KVM may refuse to be told what it said itself. */
function writeFile(view: VcpuView, file: RegisterFile): void {
  const before = readFile(view);
  const { vcpu } = view;
  if (!isSame(before.special.bytes, file.special.bytes)) {
    vcpu.setSregs(file.special);
  }
  const { general } = before;
  if (REGISTER_NAMES.some((name) => general[name] !== file.general[name])) {
    vcpu.setRegs(file.general);
  }
  if (!isSame(before.xsave, file.xsave)) vcpu.setXsave(file.xsave);
  if (before.kernelGsBase !== file.kernelGsBase) {
    vcpu.setMsrs([[IA32_KERNEL_GS_BASE, file.kernelGsBase]]);
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, index) => byte === b[index]);
}
