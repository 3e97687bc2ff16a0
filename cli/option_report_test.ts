/** What `vireo boot` says of limits: in the words of its options. */
import assert from "node:assert/strict";
import { resolve } from "../vmm/config/resolve.ts";
import type { MachineConfig } from "../vmm/config/types.ts";
import { devicesOf } from "./device_options.ts";
import { optionReport } from "./option_report.ts";

const HERE = new URL(import.meta.url).pathname;

/** The line for these options; undefined: they are taken. */
function lineOf(
  words: Record<string, unknown>,
  machine: Partial<Record<keyof MachineConfig, unknown>> = {},
): string | undefined {
  const none = { disk: [], net: [], device: [], port: [] };
  try {
    resolve({
      "boot-source": { kernel_image_path: new Uint8Array() },
      "machine-config": machine as MachineConfig,
      ...devicesOf({ ...none, ...words }),
    }, (findings) => optionReport(findings));
    return undefined;
  } catch (error) {
    assert.equal((error as Error).name, "VireoError");
    return (error as Error).message;
  }
}

Deno.test("vireo boot: each option beyond its limits gets a line in its own words", () => {
  const cases: [words: Record<string, unknown>, line: string][] = [
    [
      { disk: [HERE, `${HERE},queues=17`] },
      'disk "vireo-2": 17 queues is not 1 to 16',
    ],
    [
      { net: ["passt", "tap=t,queues=9"] },
      'network "eth1": queues: 9 is not 1 to 8',
    ],
    [
      { net: ["tap=t,mac=01:00:00:00:00:00"] },
      'mac: "01:00:00:00:00:00" is not a unicast address like ' +
      "02:00:00:00:00:01",
    ],
    [{ vsock: "cid=2,uds=/s" }, "vsock: cid 2 is not 3 to 4294967294"],
    [
      { balloon: "200" },
      "balloon: 200 MiB is not 0 to 128, the guest's memory",
    ],
    [
      { balloon: "1,stats=65536" },
      "balloon: a statistics interval of 65536 s is not 0 to 65535",
    ],
    [
      { port: ["a/b=/s"] },
      'port "a/b": a name has 1 to 64 bytes, and no slash',
    ],
    [{ port: ["a=/s", "a=/t"] }, 'port "a": there are two of that name'],
    [
      {
        console: "virtio",
        port: Array.from({ length: 14 }, (_, i) => `p${i}=/s`),
      },
      "console: 14 ports; at most 13 fit",
    ],
    [
      { disk: Array(20).fill(`${HERE},ro`) },
      "20 devices: at most 19 fit on the interrupts",
    ],
  ];
  for (const [words, line] of cases) assert.equal(lineOf(words), line);
});

Deno.test("vireo boot: the machine's limits, too", () => {
  const cases: [Partial<Record<keyof MachineConfig, unknown>>, string][] = [
    [{ vcpu_count: 33 }, "cpus: 33 is not 1 to 32"],
    [{ mem_size_mib: 1 }, "memory: 1 MiB is not within 2 MiB to 64 GiB"],
    [
      { huge_pages: "2M", memory_file: "/a" },
      "memory: huge pages and a memory file exclude each other",
    ],
    [{ poll_us: 1_000_001 }, "poll-us: 1000001 is not 0 to 1000000"],
  ];
  for (const [machine, line] of cases) {
    assert.equal(lineOf({}, machine), line);
  }
  assert.equal(
    lineOf({ balloon: "1" }, { huge_pages: "2M" }),
    "balloon: memory from the host's pool of huge pages can't be given " +
      'back; leave out huge_pages "2M", or the balloon',
  );
});

Deno.test("vireo boot: of a file that isn't there says who opens it", () => {
  assert.equal(lineOf({ disk: ["/none"] }), undefined);
  assert.equal(
    lineOf({ disk: ["/none", "/none,queues=17"] }),
    'disk "vireo-2": 17 queues is not 1 to 16',
  );
});
