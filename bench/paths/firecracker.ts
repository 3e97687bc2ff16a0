/**
 * Firecracker, for who has a binary of it: started with a configuration file,
 * as it is without a client.
 *
 * @module
 */
import { join } from "node:path";
import type { Guest, Vmm } from "./guest.ts";
import type { Row } from "./rows.ts";
import { PAYLOAD } from "./vireo.ts";

/** How it reads and writes a disk. */
type IoEngine = "Sync" | "Async";

/**
 * Each choice of its settings that can be the best one for a row, or why it
 * can't run that.
 *
 * @param binary its path
 * @param folder where configurations may be written
 */
export function firecrackerVariants(
  { measure }: Row,
  binary: string,
  folder: string,
): Vmm[] | string {
  if (measure.kind !== "bench" || measure.disk === undefined) {
    return [variant(binary, folder, "Sync")];
  }
  if (measure.disk === "direct") return "it has no O_DIRECT";
  if (/segments=/.test(measure.words)) return "it takes one segment a request";
  return [variant(binary, folder, "Sync"), variant(binary, folder, "Async")];
}

function variant(binary: string, folder: string, engine: IoEngine): Vmm {
  const file = join(folder, `firecracker-${engine}.json`);
  return {
    name: "firecracker",
    settings: `io_engine ${engine}`,
    command: (guest) => {
      Deno.writeTextFileSync(file, JSON.stringify(configOf(guest, engine)));
      return [
        ...(guest.network ? ["ip", "netns", "exec", guest.network.netns] : []),
        ...[binary, "--no-api", "--config-file", file],
        // Else its log is between the guest's lines, and within them.
        ...["--log-path", "/dev/null"],
      ];
    },
  };
}

function configOf(guest: Guest, io_engine: IoEngine): unknown {
  const { words, memory, disk, network } = guest;
  return {
    // Without "console=" it has no serial port.
    "boot-source": {
      kernel_image_path: PAYLOAD,
      boot_args: `console=ttyS0 ${words}`,
    },
    "machine-config": { vcpu_count: 1, mem_size_mib: memory },
    drives: disk
      ? [{
        drive_id: "scratch",
        path_on_host: disk.path,
        is_root_device: false,
        is_read_only: false,
        cache_type: "Writeback",
        io_engine,
      }]
      : [],
    "network-interfaces": network
      ? [{ iface_id: "eth0", host_dev_name: network.tap }]
      : [],
  };
}
