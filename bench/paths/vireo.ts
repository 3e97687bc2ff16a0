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

const FOLDER = import.meta.dirname!;
const PROGRAM = join(FOLDER, "vireo_guest.ts");
const COMMAND_LINE = join(FOLDER, "..", "..", "main.ts");

/** The payload's ELF file. */
export const PAYLOAD: string = payloadPath.pathname;

/** A part of `machine-config`: `{ poll_us: 0 }`. */
export type Settings = NonNullable<VmConfig["machine-config"]>;

/** Vireo through its library. */
export function vireo(settings: Settings = {}): Vmm {
  const words = Object.entries(settings).map(([key, value]) =>
    `${key}=${value}`
  );
  return {
    name: "vireo",
    settings: words.join(" ") || "defaults",
    command: (guest) => [
      Deno.execPath(),
      "run",
      "-A",
      "--cached-only",
      PROGRAM,
      JSON.stringify(configOf(guest, settings)),
    ],
  };
}

/** Vireo as `vireo boot`, without devices. */
export function vireoCommandLine(): Vmm {
  return {
    name: "vireo",
    settings: "vireo boot",
    command: ({ words, memory }) =>
      [Deno.execPath(), "run", "-A", "--cached-only", COMMAND_LINE, "boot"]
        .concat(PAYLOAD, "--root", "none", "--memory", `${memory}M`)
        .concat("--cmdline", words),
  };
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
