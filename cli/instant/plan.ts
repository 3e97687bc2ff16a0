/**
 * What a boot's init is told, and in which way: by orders where it is the
 * prepared one, which asks for them, else by the kernel's command line.
 *
 * @module
 */
import { MiB } from "../../guest/layout.ts";
import { bootArgs } from "../../vmm/config/boot_args.ts";
import { resolve, type ResolvedConfig } from "../../vmm/config/resolve.ts";
import type { Finding } from "../../vmm/config/schema/rule.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import { KINDS } from "../../vmm/devices/mod.ts";
import type { Instructions } from "../../vmm/orders/orders.ts";
import { execWord } from "../exec.ts";
import { load } from "../load.ts";
import type { InstantBoot, InstantOptions } from "./instant.ts";

/** What the user wants of the guest's shell. */
export interface Wish extends Omit<InstantOptions, "instructions" | "what"> {
  /** Marks what init prints. */
  nonce: string;
  /** Commands for the shell; undefined: it is interactive. */
  exec?: string;
}

/** Init's words on the kernel's command line. */
export function wordsOf({ nonce, exec }: Wish): string[] {
  const words = [`VIREO_NONCE=${nonce}`];
  if (exec !== undefined) return [...words, execWord(exec)];
  const { size, term } = terminal();
  if (size) words.push(`VIREO_ROWS=${size.rows}`, `VIREO_COLS=${size.columns}`);
  if (term) words.push(`TERM=${term}`);
  return words;
}

/**
 * Lets init ask for what it is to do: in the place of that, its kernel gets a
 * clock that can be moved with the machine, and learns which devices are init's
 * to bind.
 *
 * @param report what is said of mistakes in `config`
 * @returns what was given with `ip=`, which init does then
 */
export function useOrders(
  config: VmConfig,
  report?: (findings: Finding[]) => string | undefined,
): string | undefined {
  const boot = config["boot-source"];
  const given = bootArgs(config);
  boot.boot_args = given.without("ip").toString();
  const unbound = unboundDevices(resolve(config, report));
  if (!given.has("clocksource")) addWords(config, ["clocksource=kvm-clock"]);
  addWords(config, unboundWord(unbound));
  return given.get("ip");
}

/** Adds words for the kernel. */
export function addWords(config: VmConfig, words: string[]): undefined {
  config["boot-source"].boot_args = bootArgs(config).add(...words).toString();
}

/**
 * Devices that no driver takes before init has its orders: all that may be
 * others in the next boot of the same machine.
 */
function unboundDevices({ devices }: ResolvedConfig): number[] {
  const { entropy, balloon, console, "bus-devices": plain } = KINDS;
  return devices.flatMap(({ kind, config }, index) => {
    const { is_root_device: root } = config as { is_root_device?: boolean };
    const bound = root || kind === entropy || kind === balloon ||
      kind === console || kind === plain;
    return bound ? [] : [index];
  });
}

/** The word for them. */
function unboundWord(devices: readonly number[]): string[] {
  if (devices.length === 0) return [];
  const mask = devices.reduce((mask, index) => mask | 1 << index, 0);
  return [`virtio.unbound=0x${mask.toString(16)}`];
}

/**
 * A boot by orders.
 *
 * @param address what was taken from the command line's `ip=`
 */
export async function instantBoot(
  config: ResolvedConfig,
  address: string | undefined,
  { nonce, exec, ...wish }: Wish,
): Promise<InstantBoot> {
  const bind = unboundDevices(config);
  const instructions: Instructions = exec === undefined
    ? { nonce, bind, address, ...terminal() }
    : { nonce, bind, address, commands: exec };
  const what = [
    exec === undefined ? "interactive" : "--exec",
    `${config.memory / MiB} MiB`,
    config.cpus === 1 ? "1 CPU" : `${config.cpus} CPUs`,
    `${config.devices.length} devices by ${config.transport}`,
  ].join(", ");
  const { InstantBoot }: typeof import("./instant.ts") = await load(
    new URL("./instant.ts", import.meta.url),
  );
  return new InstantBoot(config, { ...wish, instructions, what });
}

/** Machines that are not kept: nobody else boots like that, or none could. */
export function keepsCold(
  config: VmConfig,
  { cold = false, snapshotOn = [] }: { cold?: boolean; snapshotOn?: string[] },
): boolean {
  const { huge_pages, memory_file } = config["machine-config"] ?? {};
  return cold || huge_pages === "2M" || memory_file !== undefined ||
    snapshotOn.length > 0;
}

/**
 * Whether anything could be under way when the commands have ended: then the
 * guest is to power off by itself. Its disks are unmounted by then.
 */
export function needsPowerOff(config: VmConfig): boolean {
  const { vsock, devices = [], console, "bus-devices": plain = [] } = config;
  const networks = config["network-interfaces"] ?? [];
  return networks.length > 0 || vsock !== undefined || devices.length > 0 ||
    plain.length > 0 ||
    (console?.ports ?? []).length > 0;
}

/** The terminal that this process is on, both ways. */
export function terminal(): Pick<Instructions, "size" | "term"> {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) return {};
  const { rows, columns } = Deno.consoleSize();
  const type = Deno.env.get("TERM") ?? "";
  const term = /^[\w.+-]+$/.test(type) ? type : undefined;
  return { size: { rows, columns }, term };
}
