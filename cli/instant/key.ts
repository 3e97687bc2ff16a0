/**
 * Which boots come to the same machine, up to where init asks for its orders:
 * those of one key.
 *
 * @module
 */
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { sha256 } from "../../ffi/sha256.ts";
import type { ResolvedConfig } from "../../vmm/config/resolve.ts";
import { KINDS } from "../../vmm/devices/mod.ts";

/** Changes when machines are saved in another way, or init asks otherwise. */
const FORMAT = 2;

/** What is not in a machine's configuration. */
export interface BootKind {
  /** Init is to run some; else its shell is interactive. */
  commands: boolean;
  /**
   * The kernel is the user's, and has drivers for all devices by then: their
   * files, too, have to be the same.
   */
  ownKernel?: boolean;
  /** What else has to be the same. */
  of?: string;
}

/**
 * The key of a boot, a file's name. What only the host knows of a device (its
 * file, its TAP, its socket) is not in it: no driver has looked at it yet.
 *
 * @param config of the machine, with its kernel and root disk
 */
export async function bootKey(
  config: ResolvedConfig,
  { commands, ownKernel = false, of }: BootKind,
): Promise<string> {
  const { source, kernel, initrd, commandLine, devices } = config;
  const { poll_us: _, ...machine } = source["machine-config"] ?? {};
  const root = source.drives?.find((drive) => drive.is_root_device);
  const { main, agent, ports = [] } = source.console ?? {};
  const parts = {
    format: FORMAT,
    of,
    files: [kernel, initrd, root?.path_on_host].map(identity),
    machine,
    commandLine: `${commandLine}`,
    commands,
    devices: devices.map(({ kind, config }) => [
      Object.entries(KINDS).find(([, other]) => other === kind)?.[0],
      (config as { queues?: number }).queues,
    ]),
    root: [root?.is_read_only, root?.drive_id],
    plain: source["bus-devices"], // the kernel has looked at them
    bound: ownKernel && [
      devices.map(({ config }) => config),
      source.drives?.map(({ path_on_host }) => identity(path_on_host)),
    ],
    console: [main, agent, ports.map(({ name }) => name)],
    host: [Deno.osRelease(), processor(), supportedCpuid()],
  };
  return (await sha256(JSON.stringify(parts))).slice(0, 32);
}

/** What tells a file from what it was. */
function identity(path: string | Uint8Array | undefined): unknown {
  if (typeof path !== "string") return undefined;
  const { dev, ino, size, mtime } = Deno.statSync(path);
  return [path, dev, ino, size, mtime?.getTime()];
}

/** The first processor's part of `/proc/cpuinfo` that stays the same. */
function processor(): string[] {
  using file = Deno.openSync("/proc/cpuinfo");
  const start = new Uint8Array(4096);
  const count = file.readSync(start) ?? 0;
  const [first = ""] = new TextDecoder().decode(start.subarray(0, count))
    .split("\n\n");
  return first.split("\n").filter((line) =>
    /^(vendor_id|cpu family|model|model name|stepping|flags)\s/.test(line)
  );
}

/**
 * Registers of CPUID that say what a guest can have, as bits of EAX to EDX.
 * Others are of the processor that was asked, such as its APIC id.
 */
const FEATURES = new Map([
  [1, 0b1101],
  [7, 0b1111],
  [0xd, 0b1101],
  [0x8000_0001, 0b1111],
]);

/** What this KVM can show a guest. */
function supportedCpuid(): number[] {
  using kvm = new Kvm();
  const words = new Uint32Array(kvm.getSupportedCpuid().buffer, 8);
  const features: number[] = [];
  for (let at = 0; at < words.length; at += 10) { // kvm_cpuid_entry2
    const wanted = FEATURES.get(words[at]!) ?? 0;
    for (let register = 0; register < 4; register++) {
      if (wanted >> register & 1) features.push(words[at + 3 + register]!);
    }
  }
  return features;
}
