/**
 * For tests: a guest that writes numbered records to its disk, and says so, for
 * ever.
 *
 * @module
 */
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { VmConfig } from "../config/types.ts";
import type { Overrides } from "../snapshot/mod.ts";

const payload = await readPayload();

/** The guest's machine. */
export function recording(
  disk: string,
  machine: VmConfig["machine-config"] = {},
): VmConfig {
  return {
    "boot-source": {
      kernel_image_path: payload,
      boot_args: "journal wait=irq",
    },
    "machine-config": { mem_size_mib: 16, ...machine },
    drives: [{ drive_id: "d", path_on_host: disk, is_root_device: false }],
  };
}

/** Another disk for it. */
export function recordingOn(disk: string): Overrides {
  return { drives: [{ drive_id: "d", path_on_host: disk }] } as Overrides;
}

/** The number of the last record that `output` tells of in full. */
export function lastRecord(output: string): number {
  return Number([...output.matchAll(/journal: (\d+)\n/g)].at(-1)?.[1] ?? -1);
}

/** Waits until record `number` is told of. */
export async function recorded(
  output: () => string,
  number: number,
): Promise<void> {
  await until(() => lastRecord(output()) >= number, `record ${number}`, output);
}
