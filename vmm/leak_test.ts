/** Machines come and go; nothing of them stays. */
import assert from "node:assert/strict";
import { readPayload } from "../images/payload/payload.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import {
  descriptorsAgain,
  descriptorsAtRest,
  runMachine,
  ScratchFile,
} from "./testing/mod.ts";

const MACHINES = 100;
const MEMORY_MIB = 48; // a size that no other mapping has

/** Mappings of KVM, io_uring, and of guest RAM by its size. */
function machineMappings(): string[] {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").filter((line) => {
    const [range = ""] = line.split(" ");
    const [start, end] = range.split("-").map((hex) => parseInt(hex, 16));
    return /kvm|io_uring/.test(line) ||
      end! - start! === MEMORY_MIB * 1024 * 1024;
  });
}

function mappings(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").length;
}

Deno.test(needing([KVM], {
  name: `Machine: ${MACHINES} machines leave no descriptor and no mapping`,
  async fn() {
    const kernel = await readPayload();
    using disk = new ScratchFile(1 << 20);
    const one = () =>
      runMachine({
        "boot-source": { kernel_image_path: kernel, boot_args: "hello" },
        "machine-config": { mem_size_mib: MEMORY_MIB },
        drives: [
          { drive_id: "d", path_on_host: disk.path, is_root_device: false },
        ],
      });
    for (let i = 0; i < 5; i++) await one(); // Deno's own caches fill up
    const before = await descriptorsAtRest();
    const mappingsBefore = mappings();
    for (let i = 0; i < MACHINES; i++) {
      const { end } = await one();
      assert.equal(end.reason, "reset");
    }
    await descriptorsAgain(before);
    assert.deepEqual(machineMappings(), []);
    // V8's heaps and thread stacks vary; one leak per machine would be 100.
    const grown = mappings() - mappingsBefore;
    assert.ok(grown < MACHINES / 4, `${grown} more mappings`);
  },
}));
