/**
 * How long a boot takes: the same kernel, root disk, command line and serial
 * console under Vireo and under QEMU's microvm, in alternation.
 *
 *     deno run -A bench/boot_time.ts [PAIRS] [MEMORY_MIB]
 *
 * @module
 */
import { prepare, prepared } from "../mod.ts";
import { DEFAULT_BOOT_ARGS } from "../vmm/config/boot_args.ts";
import { MICROVM, QEMU } from "./paths/qemu.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const SHELL_OUTPUT = "shell-output-1234";
const GUEST_COMMAND = "echo shell-output-$((1000 + 234))";

/** When things appeared on the console, in milliseconds since the start. */
interface BootTimes {
  /** The kernel's first byte. */
  kernel: number;
  /** The first output of a command in the guest's shell. */
  shell: number;
}

const PHASES = {
  kernel: "first byte of the kernel's log",
  shell: "first shell output",
} as const satisfies Record<keyof BootTimes, string>;

/** Starts a command and watches its output. */
async function timeBoot(name: string, args: string[]): Promise<BootTimes> {
  const start = performance.now();
  const child = new Deno.Command(name, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const times: BootTimes = { kernel: NaN, shell: NaN };
  const watch = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of stream) {
      const now = performance.now() - start;
      text += decoder.decode(bytes, { stream: true });
      if (isNaN(times.kernel) && text.includes("Linux version")) {
        times.kernel = now;
      }
      if (isNaN(times.shell) && text.includes(SHELL_OUTPUT)) {
        times.shell = now;
        child.kill("SIGTERM"); // microvm without ACPI would only halt
      }
    }
  };
  await Promise.all([watch(child.stdout), watch(child.stderr), child.status]);
  if (isNaN(times.shell)) throw new Error(`${name} did not reach the shell`);
  return times;
}

function qemuArguments(
  guest: { kernel: string; rootfs: string },
  memory: number,
): string[] {
  // QEMU has nobody to carry out an XSAVE that KVM refuses.
  const words = `${DEFAULT_BOOT_ARGS} noxsave root=/dev/vda ro VIREO_NONCE=0 ` +
    `VIREO_EXEC="${GUEST_COMMAND}"`;
  return [
    ...MICROVM.slice(1),
    ...["-m", String(memory), "-kernel", guest.kernel, "-append", words],
    ...[
      "-drive",
      `id=root,if=none,format=raw,readonly=on,file=${guest.rootfs}`,
    ],
    ...["-device", "virtio-blk-device,drive=root"],
  ];
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function row(values: number[]): string {
  const seconds = [median(values), Math.min(...values), Math.max(...values)];
  return seconds.map((ms) => (ms / 1000).toFixed(2).padStart(7)).join("");
}

if (import.meta.main) {
  const pairs = Number(Deno.args[0] ?? 5);
  const memory = Number(Deno.args[1] ?? 64);
  const guest = await prepared() ?? await prepare();
  const vireo = [
    ...["run", "-A", MAIN, "boot", "--cold", "--memory", `${memory}M`],
    ...["--exec", GUEST_COMMAND],
  ];
  const runs: { vireo: BootTimes; qemu: BootTimes }[] = [];
  for (let pair = 1; pair <= pairs; pair++) {
    console.error(`pair ${pair} of ${pairs}`);
    runs.push({
      vireo: await timeBoot(Deno.execPath(), vireo),
      qemu: await timeBoot(
        QEMU,
        qemuArguments(guest, memory),
      ),
    });
  }
  console.log(`${memory} MiB, ${pairs} pairs; seconds: median, min, max`);
  for (const [phase, title] of Object.entries(PHASES)) {
    const key = phase as keyof BootTimes;
    const ratios = runs.map(({ vireo, qemu }) => vireo[key] / qemu[key]);
    console.log(
      `${title.padEnd(32)} vireo${row(runs.map((r) => r.vireo[key]))}` +
        `   qemu${row(runs.map((r) => r.qemu[key]))}` +
        `   ratio ${median(ratios).toFixed(2)}`,
    );
  }
}
