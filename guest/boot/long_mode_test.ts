import assert from "node:assert/strict";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { SpecialRegisters } from "../../ffi/kvm/registers.ts";
import { Layout, MiB } from "../layout.ts";
import {
  bootRegisters,
  ControlBit,
  enterLongMode,
  Selector,
  writeBootTables,
} from "./long_mode.ts";
import { GuestMemory } from "../memory.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";

const ADDRESS = 0x000f_ffff_ffff_f000n;
const PRESENT_WRITABLE = 3n;
const LARGE = 0x80n;

/** What the CPU's table walk makes of a virtual address below 4 GiB. */
function walk(memory: GuestMemory, virtual: bigint): bigint {
  const entry = (table: bigint, shift: bigint): bigint => {
    const index = (virtual >> shift) & 0x1ffn;
    const view = memory.view(Number(table + index * 8n), 8);
    const value = view.getBigUint64(0, true);
    assert.equal(value & PRESENT_WRITABLE, PRESENT_WRITABLE);
    return value;
  };
  const pdpt = entry(BigInt(Layout.PAGE_TABLES), 39n) & ADDRESS;
  const directory = entry(pdpt, 30n) & ADDRESS;
  const page = entry(directory, 21n);
  assert.equal(page & LARGE, LARGE);
  return (page & ADDRESS) + (virtual & 0x1f_ffffn);
}

Deno.test("page tables: the first 4 GiB are mapped one to one", () => {
  using memory = GuestMemory.allocate(MiB);
  writeBootTables(memory);
  for (let address = 0n; address < 1n << 32n; address += 0x1f_f001n) {
    assert.equal(walk(memory, address), address);
  }
  assert.equal(walk(memory, 0xffff_ffffn), 0xffff_ffffn);
});

Deno.test("boot tables: they stay between their neighbours in the layout", () => {
  using memory = GuestMemory.allocate(MiB);
  const ours = new Set<number>();
  writeBootTables(memory);
  memory.bytes(0, MiB).forEach((byte, i) => byte !== 0 && ours.add(i));
  for (const at of ours) {
    const inGdt = at >= Layout.GDT && at < Layout.GDT + 0x30;
    const inTables = at >= Layout.PAGE_TABLES && at < 0xf000;
    assert(inGdt || inTables, `0x${at.toString(16)}`);
  }
});

Deno.test("GDT: __BOOT_CS, __BOOT_DS and a TSS, as the CPU reads them", () => {
  using memory = GuestMemory.allocate(MiB);
  writeBootTables(memory);
  const entry = (selector: number) =>
    memory.view(Layout.GDT + selector, 8).getBigUint64(0, true);
  assert.equal(entry(0), 0n);
  assert.equal(entry(Selector.CODE), 0x00af_9b00_0000_ffffn);
  assert.equal(entry(Selector.DATA), 0x00cf_9300_0000_ffffn);
  assert.equal(entry(Selector.TASK), 0x0000_8b00_0000_0067n);
});

Deno.test("enterLongMode: paging, PAE and long mode are on, the APIC base stays", () => {
  const sregs = new SpecialRegisters();
  sregs.setControl("cr0", 0x6000_0010n); // after a reset: caches off
  sregs.setControl("apicBase", 0xfee0_0900n);
  enterLongMode(sregs);
  const { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME } = ControlBit;
  assert.equal(sregs.control("cr0") & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
  assert.equal(sregs.control("cr0") & 0x6000_0000n, 0n, "caches are on");
  assert.equal(sregs.control("cr3"), BigInt(Layout.PAGE_TABLES));
  assert.equal(sregs.control("cr4"), CR4_PAE);
  assert.equal(sregs.control("efer"), EFER_LME | EFER_LMA);
  assert.equal(sregs.control("apicBase"), 0xfee0_0900n);
});

Deno.test("enterLongMode: CS is 64-bit code, SS and the rest flat data", () => {
  const sregs = new SpecialRegisters();
  enterLongMode(sregs);
  const cs = sregs.segment("cs");
  assert.deepEqual(
    [cs.selector, cs.l, cs.db, cs.s, cs.type],
    [0x10, 1, 0, 1, 0b1011],
  );
  for (const name of ["ds", "es", "fs", "gs", "ss"] as const) {
    const { selector, base, limit, type } = sregs.segment(name);
    assert.deepEqual([selector, base, limit, type], [
      0x18,
      0n,
      0xffff_ffff,
      0b0011,
    ]);
  }
  assert.equal(sregs.segment("tr").type, 0b1011, "a busy 64-bit TSS");
});

Deno.test("bootRegisters: RSI has boot_params, interrupts are off", () => {
  const { rip, rsi, rflags, rsp } = bootRegisters(0x100_0000);
  assert.equal(rip, 0x100_0000n);
  assert.equal(rsi, 0x7000n);
  assert.equal(rflags, 2n);
  assert.equal(rsp, 0x8ff0n);
});

Deno.test(needing([KVM], {
  name: "long mode: KVM enters it, and the guest can reload every segment",
  fn() {
    const ENTRY = 0x10_0000;
    const TARGET = 0x20_0000;
    const KVM_EXIT_HLT = 5;
    using memory = GuestMemory.allocate(4 * MiB);
    writeBootTables(memory);
    memory.write(Layout.BOOT_PARAMS, new Uint8Array([42]));
    memory.write(
      ENTRY,
      // deno-fmt-ignore
      new Uint8Array([
      0x0f, 0xb6, 0x1e, //             movzx ebx, byte [rsi]
      0x66, 0xb8, 0x18, 0x00, //       mov ax, __BOOT_DS
      0x8e, 0xd8, //                   mov ds, ax
      0x8e, 0xd0, //                   mov ss, ax
      0x6a, 0x10, //                   push __BOOT_CS
      0x68, 0x00, 0x00, 0x20, 0x00, // push TARGET
      0x48, 0xcb, //                   retfq
    ]),
    );
    memory.write(TARGET, new Uint8Array([0xf4])); // hlt

    using kvm = new Kvm();
    using vm = kvm.createVm();
    vm.setIdentityMapAddr(Layout.IDENTITY_MAP);
    vm.setTssAddr(Layout.TSS);
    memory.regions.forEach(({ guestAddress, size, hostAddress }, slot) =>
      vm.setUserMemoryRegion(slot, guestAddress, size, hostAddress)
    );
    using vcpu = vm.createVcpu(0);
    vcpu.setCpuid2(kvm.getSupportedCpuid());
    const sregs = vcpu.getSregs();
    enterLongMode(sregs);
    vcpu.setSregs(sregs);
    vcpu.setRegs(bootRegisters(ENTRY));

    assert.equal(vcpu.enter(), 0);
    assert.equal(vcpu.run.exitReason, KVM_EXIT_HLT);
    const { rip, rbx } = vcpu.getRegs();
    assert.equal(rip, BigInt(TARGET + 1));
    assert.equal(rbx, 42n, "RSI pointed to boot_params");
  },
}));
