import assert from "node:assert/strict";
import { KernelCommandLine } from "./cmdline.ts";
import { E820, memoryMap } from "./e820.ts";
import { KernelError } from "../kernel/error.ts";
import { GiB, Layout, MiB } from "../layout.ts";
import {
  loadInitrd,
  setUpLinux,
  writeBootParams,
  writeCommandLine,
} from "./linux.ts";
import { GuestMemory } from "../memory.ts";

const RAM = 16 * MiB;
const KERNEL_END = 4 * MiB + 1;

/** The text of the KernelError that `action` ends with. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert(error instanceof KernelError, String(error));
    return error.message;
  }
  return assert.fail("it was taken");
}

Deno.test("memoryMap: RAM ends at the EBDA and goes on at 1 MiB", () => {
  using memory = GuestMemory.allocate(RAM);
  assert.deepEqual(memoryMap(memory), [
    { address: 0, size: 0x9fc00, type: E820.RAM },
    { address: 0x9fc00, size: 0x40400, type: E820.RESERVED },
    { address: 0xe0000, size: 0x20000, type: E820.ACPI },
    { address: 0x100000, size: RAM - MiB, type: E820.RAM },
  ]);
});

Deno.test("memoryMap: RAM beyond 3 GiB is above 4 GiB, and the hole is no RAM", () => {
  using memory = GuestMemory.allocate(4 * GiB);
  const map = memoryMap(memory);
  assert.deepEqual(map.slice(3), [
    { address: MiB, size: 3 * GiB - MiB, type: E820.RAM },
    { address: 4 * GiB, size: GiB, type: E820.RAM },
  ]);
});

Deno.test("memoryMap: entries are sorted and don't overlap", () => {
  for (const size of [MiB, 2 * MiB, 3 * GiB, 3 * GiB + MiB]) {
    using memory = GuestMemory.allocate(size);
    let end = 0;
    for (const entry of memoryMap(memory)) {
      assert(entry.address >= end && entry.size > 0);
      end = entry.address + entry.size;
    }
  }
});

Deno.test("boot_params: the setup header says what the boot protocol wants", () => {
  using memory = GuestMemory.allocate(RAM);
  const initrd = { address: 0xf0_0000, size: 1234 };
  assert.equal(writeBootParams(memory, { initrd }), 0x7000);
  const params = memory.view(0x7000, 4096);
  const u32 = (offset: number) => params.getUint32(offset, true);
  assert.equal(params.getUint16(0x1fe, true), 0xaa55);
  assert.equal(
    new TextDecoder().decode(memory.bytes(0x7202, 4)),
    "HdrS",
  );
  assert.equal(params.getUint8(0x210), 0xff, "type_of_loader");
  assert.equal(params.getUint8(0x211) & 1, 1, "LOADED_HIGH");
  assert.equal(u32(0x218), 0xf0_0000, "ramdisk_image");
  assert.equal(u32(0x21c), 1234, "ramdisk_size");
  assert.equal(u32(0x228), Layout.COMMAND_LINE, "cmd_line_ptr");
  assert.equal(u32(0x238), 2047, "cmdline_size");
  // sanitize_boot_params() clears most fields when the sentinel is set.
  assert.equal(params.getUint8(0x1ef), 0, "sentinel");
});

Deno.test("boot_params: acpi_rsdp_addr is the RSDP's address, or 0", () => {
  using memory = GuestMemory.allocate(RAM);
  const address = () => memory.view(0x7000, 4096).getBigUint64(0x070, true);
  writeBootParams(memory, { rsdp: 0xe_0000 });
  assert.equal(address(), 0xe_0000n);
  writeBootParams(memory);
  assert.equal(address(), 0n);
});

Deno.test("boot_params: the E820 table holds the memory map", () => {
  using memory = GuestMemory.allocate(4 * GiB);
  writeBootParams(memory);
  const params = memory.view(Layout.BOOT_PARAMS, 4096);
  const map = memoryMap(memory);
  assert.equal(params.getUint8(0x1e8), map.length);
  map.forEach(({ address, size, type }, i) => {
    const at = 0x2d0 + i * 20;
    assert.equal(params.getBigUint64(at, true), BigInt(address));
    assert.equal(params.getBigUint64(at + 8, true), BigInt(size));
    assert.equal(params.getUint32(at + 16, true), type);
  });
});

Deno.test("writeCommandLine: 2047 bytes fit, with a zero after them", () => {
  using memory = GuestMemory.allocate(RAM);
  const text = "é".repeat(1023) + "x";
  memory.bytes(Layout.COMMAND_LINE, 4096).fill(0xee);
  writeCommandLine(memory, new KernelCommandLine(text));
  const bytes = memory.bytes(Layout.COMMAND_LINE, 2048);
  assert.equal(new TextDecoder().decode(bytes), text + "\0");
});

Deno.test("writeCommandLine: longer ones are refused with length and limit, in bytes", () => {
  using memory = GuestMemory.allocate(RAM);
  const write = (text: string, limit?: number) =>
    writeCommandLine(memory, new KernelCommandLine(text), limit);
  assert.equal(
    refusal(() => write("é".repeat(1024))),
    "command line: is 2048 bytes long, and the kernel takes at most 2047",
  );
  const long = "x".repeat(70_000);
  assert.match(
    refusal(() => write(long, 100_000)),
    /is 70000 bytes long, .* at most 65535$/,
  );
  assert.match(
    refusal(() => write("a\0b")),
    /^command line: has a zero byte inside$/,
  );
});

Deno.test("loadInitrd: it goes page aligned to the top of low RAM", () => {
  using memory = GuestMemory.allocate(RAM);
  const initrd = new Uint8Array(5000).fill(9);
  const placed = loadInitrd(memory, initrd, KERNEL_END);
  assert.deepEqual(placed, { address: RAM - 8192, size: 5000 });
  assert.deepEqual(memory.bytes(placed.address, 5000), initrd);
});

Deno.test("loadInitrd: with 4 GiB of RAM it stays below the MMIO hole", () => {
  using memory = GuestMemory.allocate(4 * GiB);
  const { address } = loadInitrd(memory, new Uint8Array(1), KERNEL_END);
  assert.equal(address, 3 * GiB - 4096);
});

Deno.test("loadInitrd: it may touch the kernel's last page's end, not the page", () => {
  using memory = GuestMemory.allocate(RAM);
  const room = RAM - (4 * MiB + 4096);
  const { address } = loadInitrd(memory, new Uint8Array(room), KERNEL_END);
  assert.equal(address, 4 * MiB + 4096);
  assert.equal(
    refusal(() => loadInitrd(memory, new Uint8Array(room + 1), KERNEL_END)),
    "embedded initrd: needs 17 MiB of memory together with the kernel " +
      "but the guest has 16 MiB: --memory",
  );
});

Deno.test("loadInitrd: a missing, empty or unreadable initrd says so", async () => {
  using memory = GuestMemory.allocate(RAM);
  assert.throws(() => loadInitrd(memory, "/nowhere/initrd", KERNEL_END), {
    name: "SystemError",
    message: /open initrd "\/nowhere\/initrd": ENOENT/,
  });
  const directory = await Deno.makeTempDir();
  try {
    assert.equal(
      refusal(() => loadInitrd(memory, directory, KERNEL_END)),
      `initrd "${directory}": is a directory`,
    );
    const empty = `${directory}/initrd`;
    await Deno.writeFile(empty, new Uint8Array());
    assert.equal(
      refusal(() => loadInitrd(memory, empty, KERNEL_END)),
      `initrd "${empty}": is empty`,
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("loadInitrd: a sparse file larger than any RAM is refused unread", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.truncate(path, 8 * GiB);
    using memory = GuestMemory.allocate(RAM);
    assert.match(
      refusal(() => loadInitrd(memory, path, KERNEL_END)),
      /is too large: 8192 MiB don't fit below 3 GiB$/,
    );
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("setUpLinux: boot_params point to command line and initrd", () => {
  using memory = GuestMemory.allocate(RAM);
  const address = setUpLinux(memory, {
    commandLine: new KernelCommandLine("console=ttyS0"),
    kernelEnd: KERNEL_END,
    initrd: new Uint8Array(100).fill(3),
  });
  const params = memory.view(address, 4096);
  const commandLine = memory.bytes(params.getUint32(0x228, true), 14);
  assert.equal(new TextDecoder().decode(commandLine), "console=ttyS0\0");
  assert.equal(memory.bytes(params.getUint32(0x218, true), 1)[0], 3);
  assert.equal(params.getUint32(0x21c, true), 100);
});
