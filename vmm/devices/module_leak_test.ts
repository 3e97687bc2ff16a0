/** Whatever a module of the user's does wrong, nothing of its machine stays. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { buildElf } from "../../guest/testing/mod.ts";
import type { VmConfig } from "../config/types.ts";
import {
  descriptorsAgain,
  descriptorsAtRest,
  TestMachine,
} from "../testing/mod.ts";

/** A module whose class has this body. */
function moduleOf(body: string): string {
  const source = `export default class { ${body} }`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** Reads port 0x300, prints what it got, and resets the machine. */
const KERNEL = buildElf({
  segments: [{
    address: 0x10_0000n,
    bytes: Uint8Array.of(
      ...[0x66, 0xba, 0x00, 0x03, 0xec], // dx = 0x300; in al, dx
      ...[0x66, 0xba, 0xf8, 0x03, 0xee], // to COM1
      ...[0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe], // reset
    ),
  }],
});

const THROWS = moduleOf("constructor() { throw new Error('by me'); }");
const NO_CLASS = "data:text/javascript,export default 5";
const NEVER = moduleOf(
  "read() { return new Promise(() => {}); } write() {} fill() {} data() {}",
);
const SHUT = moduleOf(
  "size = 512; read() {} fill() {} open() { throw new Error('shut'); }",
);
const port = { port: 1, address: 0x300 };
const disk = { drive_id: "d", is_root_device: false };

/** Far off: who answers does so whenever the host lets it. */
const PATIENCE = 60_000;

/** What is refused before the start. */
const REFUSED: Partial<VmConfig>[] = [
  { "bus-devices": [{ module: NEVER, ...port }, { module: THROWS, port: 1 }] },
  { "bus-devices": [{ module: THROWS, ...port, thread: "vcpu" }] },
  { "bus-devices": [{ module: NEVER, ...port }, { module: NEVER, ...port }] },
  { devices: [{ module: THROWS }] },
  { drives: [{ ...disk, backend: THROWS }] },
  { drives: [{ ...disk, backend: SHUT }] },
  { entropy: { backend: SHUT } },
  { console: { ports: [{ name: "p", backend: THROWS }] } },
  { "network-interfaces": [{ iface_id: "e", handler: NO_CLASS }] },
];

/** All ones, which are no character. */
const ONES = "\ufffd";
/** What goes wrong while the guest runs, and what it reads then. */
const RUNNING: [read: string, output: string, timeout_ms?: number][] = [
  ["read() { throw new Error('oh'); }", ONES],
  ["async read() { await null; throw new Error('oh'); }", ONES],
  ["read() { return 'nonsense'; }", ONES],
  ["read() { return new Promise(() => {}); }", ONES, 20],
  ["read() { setTimeout(() => { throw new Error('oh'); }); return 65; }", "A"],
  // Some of these fail while the machine's end is under way.
  [
    "read() { for (let ms = 0; ms < 40; ms += 0.5) { " +
    "setTimeout(() => { throw new Error('oh'); }, ms); } return 65; }",
    "A",
  ],
];

async function each(): Promise<void> {
  const config = {
    "boot-source": { kernel_image_path: KERNEL, boot_args: "" },
    "machine-config": { mem_size_mib: 8 },
  };
  for (const wrong of REFUSED) {
    await assert.rejects(TestMachine.create({ ...config, ...wrong }), {
      name: "VireoError",
    });
  }
  for (const [read, output, timeout_ms = PATIENCE] of RUNNING) {
    const module = moduleOf(`${read} write() {}`);
    const devices = [{ module, ...port, timeout_ms }];
    await using test = await TestMachine.create({
      ...config,
      "bus-devices": devices,
    });
    const run = await test.run();
    assert.equal(run.end.reason, "reset", `${read}: ${run.end.message}`);
    assert.equal(run.output, output, read);
  }
}

Deno.test(needing([KVM], {
  name: "modules: whatever one does wrong, no descriptor and no thread stays",
  async fn() {
    await each(); // what Deno keeps for itself is there then
    const before = await descriptorsAtRest();
    for (let round = 0; round < 3; round++) await each();
    await descriptorsAgain(before);
    await descriptorsAtRest(); // and so is no thread
  },
}));
