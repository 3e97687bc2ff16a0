/**
 * Runs one storm: the payload attacks its devices from two vCPUs (its mode
 * `storm`), and this side watches what becomes of the VMM.
 *
 * @module
 */
import { readPayload } from "../../images/payload/payload.ts";
import { VireoError } from "../../ffi/error.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import { ramOf, residentBytes } from "../../vmm/testing/ram.ts";
import {
  ScratchFile,
  TestMachine,
  TestNetwork,
} from "../../vmm/testing/mod.ts";

/** A storm's surroundings. */
export interface Weather {
  /** How the devices are connected. */
  transport: "mmio" | "pci";
  /** Packed virtqueues. */
  packed: boolean;
  /** How long it lasts. */
  seconds: number;
  /** Attack a network interface, too: needs root and TAP. */
  network: boolean;
}

/** The storms for each transport, as images/payload/src/storm.c has them. */
export const STORMS = {
  mmio: ["rings", "headers", "doorbells", "resets", "registers"],
  pci: ["rings", "headers", "doorbells", "resets", "registers", "moves"],
} as const;

/** Memory and descriptors of this process, without the guest's RAM. */
export interface Footprint {
  /** Bytes. */
  rss: number;
  /** Descriptors. */
  fds: number;
}

/** What came of it. */
export interface StormResult {
  /** The payload's counts: accesses, doorbells, ... */
  counts: Record<string, number>;
  /** Once the storm had settled in, and at its end. */
  before: Footprint;
  /** See `before`. */
  after: Footprint;
  /** The longest time that a device took to answer a command. */
  answerMs: number;
  /** What devices told the human. */
  log: string[];
  /** Everything that was not as it must be; empty: all is well. */
  failures: string[];
}

/** A size that no other mapping has: RAM is told by it. */
const MEMORY_MIB = 72;
const DISK_SIZE = 4 << 20;
/** From when on nothing may grow. */
const SETTLED = 5;
const PROBE_MS = 500;
/** A busy host is slow; a stuck worker takes for ever. */
const ANSWER_MS = 120_000;
const PATIENCE_MS = 120_000;
/** V8's heaps breathe; guest RAM, doorbells and chains don't. */
const GROWTH_MAX = 64 << 20;
const LOG_MAX = 100;
const NOTHING: Footprint = { rss: 0, fds: 0 };

/** Lets the payload's storm `name` rage. */
export async function runStorm(
  name: string,
  weather: Weather,
): Promise<StormResult> {
  using victim = new ScratchFile(DISK_SIZE);
  using bystander = new ScratchFile(DISK_SIZE);
  using network = weather.network ? new TestNetwork() : undefined;
  await using test = await TestMachine.create(
    await configOf(name, weather, victim.path, bystander.path, network),
  );
  const watch = new Watch(test, weather.seconds);
  test.machine.start();
  await test.printed(`storm: ${name} begins`);
  const samples = await watch.until(`storm: ${name} accesses=`);
  await Promise.race([test.machine.wait(), sleep(PATIENCE_MS)]);
  return await judge(name, test, samples, watch);
}

async function configOf(
  name: string,
  weather: Weather,
  victim: string,
  bystander: string,
  network: TestNetwork | undefined,
): Promise<VmConfig> {
  const words = [`storm=${name}`, `seconds=${weather.seconds}`];
  if (network) words.push(`ip=${network.guest}`, `peer=${network.host}`);
  return {
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: words.join(" "),
    },
    "machine-config": {
      mem_size_mib: MEMORY_MIB,
      vcpu_count: 2,
      transport: weather.transport,
      packed_rings: weather.packed,
    },
    drives: [
      { drive_id: "victim", path_on_host: victim, is_root_device: false },
      { drive_id: "bystander", path_on_host: bystander, is_root_device: false },
    ],
    "network-interfaces": network
      ? [{ iface_id: "net", host_dev_name: "tap0", netns: network.netns }]
      : [],
  };
}

/** Looks at the VMM while the guest rages. */
class Watch {
  readonly #test: TestMachine;
  readonly #settled: number;
  readonly #patience: number;
  /** The longest wait for an answer. */
  answerMs = 0;
  /** What went wrong. */
  readonly failures: string[] = [];

  constructor(test: TestMachine, seconds: number) {
    this.#test = test;
    this.#settled = Math.min(SETTLED, seconds / 2) * 1000;
    this.#patience = seconds * 1000 + PATIENCE_MS;
  }

  /** Samples until the guest has printed `text`, or has ended. */
  async until(text: string): Promise<Footprint[]> {
    let samples: Footprint[] = [];
    let settled = false;
    const begun = performance.now();
    let ended = false;
    this.#test.machine.wait().then(() => ended = true);
    while (!ended && !this.#test.output.includes(text)) {
      const passed = performance.now() - begun;
      if (passed > this.#patience) {
        this.failures.push(`the guest did not come to "${text}"`);
        break;
      }
      if (!settled && passed >= this.#settled) {
        settled = true; // what was before doesn't count
        samples = [];
      }
      samples.push(...footprint());
      await this.#ask();
      await sleep(PROBE_MS);
    }
    samples.push(...footprint());
    return samples;
  }

  /** The device worker is not stuck when it objects. */
  async #ask(): Promise<void> {
    const begun = performance.now();
    const answer = await Promise.race([
      this.#test.machine.command("victim", {}).catch((error) => error),
      sleep(ANSWER_MS),
    ]);
    const took = performance.now() - begun;
    this.answerMs = Math.max(this.answerMs, took);
    if (!(answer instanceof VireoError)) {
      this.failures.push(`no answer within ${ANSWER_MS} ms`);
    }
  }
}

async function judge(
  name: string,
  test: TestMachine,
  samples: Footprint[],
  watch: Watch,
): Promise<StormResult> {
  const failures = [...watch.failures];
  const end = await test.machine.stop();
  const output = test.output;
  if (end.reason !== "reset") {
    failures.push(`the machine ended by ${end.reason}: ${end.message ?? ""}`);
  }
  if (!output.includes(`storm: ${name} bystander=`)) {
    failures.push(`the guest said:\n${output}`);
  } else if (!/recovered=yes verdict=ok/.test(output)) {
    failures.push(`the guest's verdict:\n${output}`);
  } else if (!output.includes("payload: ok")) {
    failures.push(`the guest failed:\n${output}`);
  }
  const [before = NOTHING] = samples;
  if (before === NOTHING) failures.push("it ended before anybody had looked");
  const after = samples.at(-1) ?? before;
  if (after.fds > before.fds) {
    failures.push(`${before.fds} descriptors became ${after.fds}`);
  }
  if (after.rss - before.rss > GROWTH_MAX) {
    failures.push(`RSS grew from ${before.rss} to ${after.rss}`);
  }
  if (test.log.length > LOG_MAX) {
    failures.push(`${test.log.length} lines of log`);
  }
  const { answerMs } = watch;
  const { log } = test;
  return { counts: countsIn(output), before, after, answerMs, log, failures };
}

/** `key=number` words of the payload's line. */
function countsIn(output: string): Record<string, number> {
  const line = /^storm: \S+ (accesses=.*)$/m.exec(output)?.[1] ?? "";
  return Object.fromEntries(
    line.trim().split(" ").filter(Boolean).map((word) => {
      const [key = "", value = ""] = word.split("=");
      return [key, Number(value)];
    }),
  );
}

/** One sample; none when the machine and its RAM are gone. */
function footprint(): Footprint[] {
  const [, resident = "0"] = Deno.readTextFileSync("/proc/self/statm")
    .split(" ");
  const fds = [...Deno.readDirSync("/proc/self/fd")].length;
  try {
    const ram = residentBytes(ramOf(MEMORY_MIB << 20));
    return [{ rss: Number(resident) * 4096 - ram, fds }];
  } catch {
    return [];
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}
