import assert from "node:assert/strict";
import { SpecialRegisters } from "../../ffi/kvm/registers.ts";
import { KernelCommandLine } from "./cmdline.ts";
import { memoryMap } from "./e820.ts";
import { GiB, Layout, MiB } from "../layout.ts";
import { GuestMemory } from "../memory.ts";
import { enterProtectedMode, pvhRegisters, setUpPvh } from "./pvh.ts";

const decoder = new TextDecoder();

Deno.test("setUpPvh: hvm_start_info names command line, module, RSDP and memory map", () => {
  using memory = GuestMemory.allocate(4 * GiB);
  const at = setUpPvh(memory, {
    commandLine: new KernelCommandLine("console=ttyS0"),
    kernelEnd: 20 * MiB,
    initrd: new Uint8Array(5000).fill(3),
    rsdp: 0xe_0000,
  });
  const info = memory.view(at, 56);
  const u32 = (offset: number) => info.getUint32(offset, true);
  const u64 = (offset: number) => Number(info.getBigUint64(offset, true));
  assert.equal(u32(0), 0x336ec578, "magic");
  assert.equal(u32(4), 1, "version");
  assert.equal(u32(8), 0, "flags");
  assert.equal(decoder.decode(memory.bytes(u64(24), 14)), "console=ttyS0\0");
  assert.equal(u64(32), 0xe_0000, "rsdp_paddr");

  assert.equal(u32(12), 1, "nr_modules");
  const module = memory.view(u64(16), 32);
  assert.equal(module.getBigUint64(8, true), 5000n, "size");
  const initrd = Number(module.getBigUint64(0, true));
  assert.equal(memory.bytes(initrd + 4999, 1)[0], 3);

  const map = memoryMap(memory);
  assert.equal(u32(48), map.length, "memmap_entries");
  const table = memory.view(u64(40), map.length * 24);
  map.forEach(({ address, size, type }, index) => {
    assert.equal(table.getBigUint64(index * 24, true), BigInt(address));
    assert.equal(table.getBigUint64(index * 24 + 8, true), BigInt(size));
    assert.equal(table.getUint32(index * 24 + 16, true), type);
  });
});

Deno.test("setUpPvh: without initrd and ACPI there is no module and no RSDP", () => {
  using memory = GuestMemory.allocate(32 * MiB);
  const at = setUpPvh(memory, {
    commandLine: new KernelCommandLine(""),
    kernelEnd: 20 * MiB,
  });
  const info = memory.view(at, 56);
  assert.equal(info.getUint32(12, true), 0, "nr_modules");
  assert.equal(info.getBigUint64(16, true), 0n, "modlist_paddr");
  assert.equal(info.getBigUint64(32, true), 0n, "rsdp_paddr");
});

Deno.test("enterProtectedMode: 32 bits, flat, no paging, and the APIC's base stays", () => {
  const sregs = new SpecialRegisters();
  sregs.setControl("apicBase", BigInt(Layout.LAPIC));
  sregs.setControl("cr3", 0x9000n);
  enterProtectedMode(sregs);
  assert.equal(sregs.control("cr0") & ~(1n << 4n), 1n, "PE and nothing else");
  for (const name of ["cr3", "cr4", "efer"] as const) {
    assert.equal(sregs.control(name), 0n, name);
  }
  const { base, limit, db, l, type } = sregs.segment("cs");
  assert.deepEqual({ base, limit, db, l, type }, {
    base: 0n,
    limit: 0xffff_ffff,
    db: 1,
    l: 0,
    type: 0b1011,
  });
  assert.equal(sregs.segment("ss").db, 1);
  assert.equal(sregs.control("apicBase"), BigInt(Layout.LAPIC));
  assert.deepEqual(pvhRegisters(0x100_0004, 0x7000), {
    rip: 0x100_0004n,
    rbx: 0x7000n,
    rflags: 2n,
  });
});
