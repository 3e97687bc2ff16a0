/**
 * The bodies of Vireo's own requests.
 *
 * @module
 */
import {
  any,
  list,
  may,
  must,
  or,
  type Shape,
  string,
  struct,
  u32,
} from "./shape.ts";
import type { Body } from "./shapes.ts";

const networkOverrides = list(
  struct("NetworkOverride", {
    iface_id: must(string),
    host_dev_name: must(string),
  }),
);
const vsockOverride = struct("VsockOverride", { uds_path: must(string) });

/** A program and its arguments, or a line for the guest's shell. */
const command: Shape<string | string[]> = {
  schema: {
    oneOf: [string.schema, { type: "array", items: string.schema }],
  },
  read(json) {
    return json.peek() === "list" ? list(string).read(json) : string.read(json);
  },
};

/** `PUT /vireo/exec` */
export const execBody = struct("Exec", {
  command: must(command),
  env: or(list(string), []),
  cwd: may(string),
  stdin: may(string),
  timeout_ms: or(u32, 10_000),
});

/** `PUT /vireo/faults` */
export const faultsBody = struct("Faults", {
  device: must(string),
  rules: must(list(any)),
  seed: may(u32),
});

/** `PUT /vireo/trace` */
export const traceBody = struct("Trace", {
  trace_path: must(string),
  types: or(list(string), []),
  devices: or(list(string), []),
  max_bytes: may(u32),
});

/** `PUT /vireo/reset` */
export const resetBody = struct("Reset", {
  snapshot_path: must(string),
  mem_file_path: must(string),
});

/** `PUT /vireo/fork` */
export const forkBody = struct("Fork", {
  api_sock: must(string),
  id: may(string),
  serial_out_path: may(string),
  drive_overrides: or(
    list(
      struct("DriveOverride", {
        drive_id: must(string),
        path_on_host: must(string),
      }),
    ),
    [],
  ),
  network_overrides: or(networkOverrides, []),
  vsock_override: may(vsockOverride),
});

/** A command in the guest. */
export type ExecBody = Body<typeof execBody>;
/** What is to be written where. */
export type TraceBody = Body<typeof traceBody>;
/** What to go back to. */
export type ResetBody = Body<typeof resetBody>;
/** What a second machine has otherwise. */
export type ForkBody = Body<typeof forkBody>;
