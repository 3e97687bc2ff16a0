/**
 * `vireo restore`: a saved machine goes on.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { didYouMean, moduleUrl } from "../../vmm/devices/words.ts";
import type { EarlyVcpu } from "../../vmm/early_vcpu.ts";
import { Machine } from "../../vmm/machine.ts";
import { emulationOfHost } from "../../vmm/refused.ts";
// With all the rest: by themselves they are loaded later, and take longer.
import "../../devices/backends/block/open_image.ts";
import "../../vmm/snapshot/restore.ts";
import type { Overrides, PageSource } from "../../vmm/snapshot/mod.ts";
import { MAX_VIRTIO_DEVICES } from "../../guest/layout.ts";
import { encodeOrders, Orders } from "../../vmm/orders/orders.ts";
import { makeNonce } from "../exec.ts";
import { load } from "../load.ts";
import { standardError } from "../streams/output.ts";
import { terminal } from "../instant/plan.ts";
import { parseTimeout } from "../options.ts";
import { parseCrashDir } from "../crash_dir.ts";
import { parseGdb } from "../gdb_option.ts";
import { type MonitorWords, parseMonitors } from "../monitors.ts";
import { parseControl } from "../machines/control_options.ts";
import { parseSnapshots, rendezvousFolders } from "./trigger.ts";
import { Session } from "../session.ts";

/** The command line of `vireo restore`, as words. */
export interface RestoreOptions extends MonitorWords {
  /** `ID=FILE` for disks that are others now. */
  disk: string[];
  /** A file of what else is. */
  config?: string;
  /** Where pages come from: `socket=PATH` or `module=MODULE`. */
  pages?: string;
  /** What the snapshot names on the host is opened on its word. */
  trust?: boolean;
  /** What the machine is called. */
  name?: string;
  /** It has a control socket. */
  control?: boolean;
  /** Where gdb can attach: `unix`, `1234,wait`. */
  gdb?: string;
  /** Where to keep crashes: `crashes,core`. */
  crashDir?: string;
  /** When to save the machine again, and where. */
  snapshotOn?: string[];
  /** Shell commands for a machine that was saved at its rendezvous. */
  exec?: string;
  /** Print nothing but what they print. */
  quiet?: boolean;
  /** Seconds until the machine is ended: `60`. */
  timeout?: string;
}

/**
 * Lets the machine of a snapshot go on, with its console on standard input and
 * output.
 *
 * @param early its first vCPU's thread, which has begun
 * @returns the exit status
 * @throws {VireoError} the snapshot can't be restored, in one line
 */
export async function restore(
  folder: string,
  options: RestoreOptions,
  early: EarlyVcpu,
): Promise<number> {
  const timeout = parseTimeout(options.timeout);
  const snapshots = parseSnapshots(options);
  rendezvousFolders(snapshots, false);
  const control = parseControl(options);
  const monitors = await parseMonitors(options);
  const gdb = parseGdb(options.gdb);
  const crashDir = parseCrashDir(options.crashDir);
  const { trust } = options;
  const pages = parsePages(options.pages);
  const overrides = await overridesOf(options);
  const { exec } = options;
  const nonce = makeNonce();
  const session = new Session(nonce, {
    timeout,
    snapshots,
    control,
    monitors,
    gdb,
    crashDir,
    exec: exec !== undefined,
    quiet: options.quiet,
    detached: true,
  });
  const orders = ordersOf(nonce, exec);
  return await session.runMade(
    { memory: 0, virtioConsole: false },
    async (hooks) => {
      const all = { ...hooks, trust, pages, orders, early };
      early.help(emulationOfHost());
      const machine = await Machine.restore(folder, overrides, all);
      // At its rendezvous a guest has read nothing yet.
      if (exec === undefined) await tellGuest(machine, folder, overrides);
      return machine;
    },
  );
}

/** It is told once it runs. */
async function tellGuest(
  machine: Machine,
  folder: string,
  overrides: Overrides,
): Promise<void> {
  if (!overrides.drives && !overrides["network-interfaces"]) return;
  const { adapt, savedIn }: typeof import("./adapt.ts") = await load(
    new URL("./adapt.ts", import.meta.url),
  );
  const say = (line: string) => standardError.note(`vireo: ${line}`);
  adapt(machine, savedIn(folder), overrides, say);
}

/** For a machine that was saved when its init asked for them; no other asks. */
function ordersOf(nonce: string, commands: string | undefined): Orders {
  const orders = new Orders(commands !== undefined);
  const bind = Array.from({ length: MAX_VIRTIO_DEVICES }, (_, index) => index);
  const more = commands === undefined ? terminal() : { commands };
  orders.give(encodeOrders({ nonce, bind, ...more }));
  return orders;
}

async function overridesOf(
  { disk, config }: RestoreOptions,
): Promise<Overrides> {
  const given = config === undefined ? {} : await readJson(config);
  if (disk.length === 0) return given;
  const drives = disk.map(parseDisk) as unknown as Overrides["drives"];
  return { ...given, drives: [...given.drives ?? [], ...drives!] };
}

function parsePages(text: string | undefined): PageSource | undefined {
  if (text === undefined) return undefined;
  const [way, value] = text.split(/=(.*)/s);
  if (way === "socket" && value) return { socket: value };
  if (way === "module" && value) {
    return { module: moduleUrl("--pages", value) };
  }
  throw new VireoError(
    `--pages ${text}: not of the form socket=PATH or module=MODULE` +
      didYouMean(text, ["socket=PATH", "module=MODULE"]),
  );
}

function parseDisk(text: string): { drive_id: string; path_on_host: string } {
  const [id, path] = text.split(/=(.*)/s);
  if (id && path) return { drive_id: id, path_on_host: path };
  throw new VireoError(`--disk ${text}: not of the form ID=FILE`);
}

/** The keys' values are checked with those that they replace. */
async function readJson(path: string): Promise<Overrides> {
  const { readJsonFile }: typeof import("../../vmm/config/file.ts") =
    await load(new URL("../../vmm/config/file.ts", import.meta.url));
  const value = JSON.parse(await readJsonFile(path));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value;
  }
  throw new VireoError(`${path}: is not an object`);
}
