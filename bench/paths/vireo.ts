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
      Deno.execPath(),
      "run",
      "-A",
      "--cached-only",
      join(checkout, "bench", "paths", "vireo_guest.ts"),
      JSON.stringify(configOf(guest, settings)),
    ],
  };
}

/** Vireo as `vireo boot`, without devices, as it stands in `checkout`. */
export function vireoCommandLine(checkout = CHECKOUT): Vmm {
  const program = join(checkout, "main.ts");
  return {
    name: "vireo",
    settings: named("vireo boot", checkout),
    command: ({ words, memory }) =>
      [Deno.execPath(), "run", "-A", "--cached-only", program, "boot"]
        .concat(PAYLOAD, "--root", "none", "--memory", `${memory}M`)
        .concat("--cmdline", words),
  };
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
