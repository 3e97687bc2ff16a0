/**
 * Vireo as a process of its own, so that its CPU time and memory can be told
 * apart from the harness's.
 *
 * @module
 */
import { join } from "node:path";
import { payloadPath } from "../../images/payload/payload.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import type { Guest, Vmm } from "./guest.ts";
import type { StartRow } from "./rows.ts";

/** The checkout that this program belongs to. */
export const CHECKOUT: string = join(import.meta.dirname!, "..", "..");

/** The payload's ELF file. */
export const PAYLOAD: string = payloadPath.pathname;

/** A part of `machine-config`: `{ poll_us: 0 }`. */
export type Settings = NonNullable<VmConfig["machine-config"]>;

/** Vireo through its library, as it stands in `checkout`. */
export function vireo(settings: Settings = {}, checkout = CHECKOUT): Vmm {
  const words = Object.entries(settings).map(([key, value]) =>
    `${key}=${value}`
  );
  return {
    name: "vireo",
    settings: named(words.join(" ") || "defaults", checkout),
    command: (guest) => [
      ...DENO,
      join(checkout, "bench", "paths", "vireo_guest.ts"),
      JSON.stringify(configOf(guest, settings)),
    ],
  };
}

/**
 * A command of Vireo's, without devices, as it stands in `checkout`.
 *
 * @param folder where a configuration may be written
 */
export function vireoCommand(
  name: "boot" | "run",
  folder: string,
  checkout = CHECKOUT,
): Vmm {
  const program = join(checkout, "main.ts");
  const file = join(folder, "vireo-run.json");
  return {
    name: "vireo",
    settings: named(`vireo ${name}`, checkout),
    command: (guest) => {
      const command = [...denoAsCommand(checkout), program, name];
      if (name === "run") {
        Deno.writeTextFileSync(file, JSON.stringify(configOf(guest, {})));
        return [...command, "--config", file];
      }
      const { words, memory } = guest;
      return command
        .concat(PAYLOAD, "--root", "none", "--memory", `${memory}M`)
        .concat("--cmdline", words);
    },
  };
}

/** A program that only starts workers, as a machine's program is started. */
export function emptyProgram({ program, disk }: StartRow): Vmm {
  const workers = disk ? 2 : 1;
  const deno = program === "library" ? DENO : denoAsCommand(CHECKOUT);
  const file = join(CHECKOUT, "bench", "paths", "empty.ts");
  return {
    name: "empty",
    settings: `${workers} ${workers === 1 ? "worker" : "workers"}`,
    started: /^ready$/,
    command: () => [...deno, file, `${workers}`],
  };
}

/** A program of somebody's. */
const DENO = [Deno.execPath(), "run", "-A", "--cached-only"];

/** As `bin/vireo` has it. */
function denoAsCommand(checkout: string): string[] {
  const script = Deno.readTextFileSync(join(checkout, "bin", "vireo"));
  const flags = script.match(/--v8-flags=\S+/g) ?? [];
  const config = join(checkout, "deno.json");
  return [...DENO, "--quiet", ...flags, "--config", config];
}

/** Another checkout's folder is part of a side's settings. */
function named(settings: string, checkout: string): string {
  return checkout === CHECKOUT ? settings : `${settings}, ${checkout}`;
}

function configOf(guest: Guest, settings: Settings): VmConfig {
  const { words, memory, disk, network } = guest;
  return {
    "boot-source": { kernel_image_path: PAYLOAD, boot_args: words },
    "machine-config": { mem_size_mib: memory, ...settings },
    drives: disk
      ? [{
        drive_id: "scratch",
        path_on_host: disk.path,
        is_root_device: false,
        direct: disk.direct,
      }]
      : [],
    "network-interfaces": network
      ? [{
        iface_id: "eth0",
        host_dev_name: network.tap,
        netns: network.netns,
      }]
      : [],
  };
}
