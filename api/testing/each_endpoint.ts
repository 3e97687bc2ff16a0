/**
 * For tests: every endpoint, when it may be asked, its keys, a good request, and
 * what is said to others.
 *
 * @module
 */
import type { Method } from "../http/parser.ts";

/** There are no devices that come and go. */
export const NO_PCI = "PCI is not enabled";

/** An endpoint, and what is said to its requests. */
export interface Row {
  ask: readonly [Method, string];
  /** When it may be asked; what is said at another time, if not as always. */
  when: "before" | "after" | "always";
  /** Its keys, those that must be there with `!`; undefined: no struct. */
  keys?: string;
  /** A good body; `DIR` is a folder. */
  good?: unknown;
  /** A body is not taken, but may be there. */
  bodiless?: boolean;
  /** What a good request is refused with all the same. */
  refused?: string;
  /** A key, a value of the wrong type, and what is said of it. */
  type?: readonly [key: string, value: string, found: string, expected: string];
  /** What is said when the last part of the path is another. */
  path?: string;
}

const TEXT = ["1", "integer `1`", "a string"] as const;
const LIST = ["1", "integer `1`", "a sequence"] as const;
const BOOL = ["1", "integer `1`", "a boolean"] as const;
const LIMITER = ["1", "integer `1`", "struct RateLimiterConfig"] as const;

const MACHINE =
  "vcpu_count mem_size_mib smt cpu_template track_dirty_pages huge_pages";
/** All of them. */
export const ROWS: readonly Row[] = [
  { ask: ["GET", "/"], when: "always" },
  { ask: ["GET", "/version"], when: "always" },
  {
    ask: ["GET", "/vm/config"],
    when: "always",
    path: "Invalid request method and/or path: GET vm.",
  },
  { ask: ["GET", "/machine-config"], when: "always" },
  {
    ask: ["PUT", "/machine-config"],
    when: "before",
    keys: MACHINE.replace(
      "vcpu_count mem_size_mib",
      "vcpu_count! mem_size_mib!",
    ),
    good: { vcpu_count: 1, mem_size_mib: 16 },
    type: ["vcpu_count", '"1"', 'string "1"', "u8"],
  },
  {
    ask: ["PATCH", "/machine-config"],
    when: "before",
    keys: MACHINE,
    good: { smt: false },
    type: ["mem_size_mib", "true", "boolean `true`", "usize"],
  },
  {
    ask: ["PUT", "/cpu-config"],
    when: "before",
    keys: "kvm_capabilities cpuid_modifiers msr_modifiers",
    good: { kvm_capabilities: ["0", "!56"] },
    type: ["msr_modifiers", ...LIST],
  },
  {
    ask: ["PUT", "/boot-source"],
    when: "before",
    keys: "kernel_image_path! initrd_path boot_args",
    good: { kernel_image_path: "/dev/null", boot_args: "" },
    type: ["kernel_image_path", ...TEXT],
  },
  {
    ask: ["PUT", "/actions"],
    when: "always",
    keys: "action_type!",
    good: { action_type: "SendCtrlAltDel" },
  },
  {
    ask: ["PATCH", "/vm"],
    when: "after",
    keys: "state!",
    good: { state: "Resumed" },
  },
  {
    ask: ["PUT", "/drives/d"],
    when: "before",
    keys: "drive_id! partuuid is_root_device! cache_type is_read_only " +
      "path_on_host rate_limiter io_engine socket",
    good: { drive_id: "d", is_root_device: false, path_on_host: "DIR/a" },
    type: ["is_root_device", ...BOOL],
  },
  {
    ask: ["PATCH", "/drives/d"],
    when: "after",
    keys: "drive_id! path_on_host rate_limiter",
    good: { drive_id: "d", path_on_host: "DIR/b" },
    type: ["rate_limiter", ...LIMITER],
  },
  {
    ask: ["DELETE", "/drives/d"],
    when: "after",
    refused: `Drive config error: ${NO_PCI}`,
  },
  {
    ask: ["PUT", "/network-interfaces/n"],
    when: "before",
    keys: "iface_id! host_dev_name! guest_mac mtu rx_rate_limiter " +
      "tx_rate_limiter",
    good: { iface_id: "n", host_dev_name: "vireo-none" },
    refused: "Network config error: Could not create the network device: " +
      "Open tap device failed: Error while creating ifreq structure: No such " +
      "device (os error 19). Invalid TUN/TAP Backend provided by vireo-none. " +
      "Check our documentation on setting up the network devices.",
    type: ["mtu", '"x"', 'string "x"', "u16"],
  },
  {
    ask: ["PATCH", "/network-interfaces/n"],
    when: "after",
    keys: "iface_id! rx_rate_limiter tx_rate_limiter",
    good: { iface_id: "n" },
    refused: "Network config error: Unable to find the network device: n",
    type: ["tx_rate_limiter", ...LIMITER],
  },
  {
    ask: ["DELETE", "/network-interfaces/n"],
    when: "after",
    refused: `Network config error: ${NO_PCI}`,
  },
  {
    ask: ["PUT", "/vsock"],
    when: "before",
    keys: "vsock_id guest_cid! uds_path!",
    good: { guest_cid: 3, uds_path: "DIR/v.sock" },
    type: ["guest_cid", "-1.5", "floating point `-1.5`", "u32"],
  },
  {
    ask: ["PUT", "/entropy"],
    when: "before",
    keys: "rate_limiter",
    good: {},
    type: ["rate_limiter", ...LIMITER],
  },
  {
    ask: ["PUT", "/serial"],
    when: "before",
    keys: "serial_out_path rate_limiter",
    good: { serial_out_path: "DIR/serial" },
    type: ["serial_out_path", ...TEXT],
  },
  {
    ask: ["PUT", "/balloon"],
    when: "before",
    keys: "amount_mib! deflate_on_oom! stats_polling_interval_s " +
      "free_page_hinting free_page_reporting",
    good: {
      ...{ amount_mib: 1, deflate_on_oom: true, stats_polling_interval_s: 1 },
      ...{ free_page_hinting: true },
    },
    type: ["deflate_on_oom", ...BOOL],
  },
  {
    ask: ["GET", "/balloon"],
    when: "always",
    path: "Unrecognized GET request path `x`.",
  },
  {
    ask: ["PATCH", "/balloon"],
    when: "after",
    keys: "amount_mib!",
    good: { amount_mib: 2 },
    type: ["amount_mib", "true", "boolean `true`", "u32"],
    path: "Unrecognized PATCH request path `x`.",
  },
  {
    ask: ["GET", "/balloon/statistics"],
    when: "after",
    path: "Unrecognized GET request path `x`.",
  },
  {
    ask: ["PATCH", "/balloon/statistics"],
    when: "after",
    keys: "stats_polling_interval_s!",
    good: { stats_polling_interval_s: 2 },
    type: ["stats_polling_interval_s", "null", "null", "u16"],
    path: "Unrecognized PATCH request path `x`.",
  },
  {
    ask: ["GET", "/balloon/hinting/status"],
    when: "after",
    path: "Unrecognized GET request path `hinting/x`.",
  },
  {
    ask: ["PATCH", "/balloon/hinting/start"],
    when: "after",
    keys: "acknowledge_on_stop",
    good: {},
    type: ["acknowledge_on_stop", ...BOOL],
    refused: "Balloon update error: balloon: the guest gives no hints; is " +
      "free_page_hinting on?",
    path: "Unrecognized PATCH request path `hinting/x`.",
  },
  {
    ask: ["PATCH", "/balloon/hinting/stop"],
    when: "after",
    bodiless: true,
    path: "Unrecognized PATCH request path `hinting/x`.",
  },
  {
    ask: ["PUT", "/mmds/config"],
    when: "before",
    keys: "version network_interfaces! ipv4_address imds_compat",
    good: { network_interfaces: ["n"] },
    refused: "MMMDS config error: The list of network interface IDs provided " +
      "contains at least one ID that does not correspond to any existing " +
      "network interface.",
    type: ["network_interfaces", ...LIST],
    path: "Unrecognized PUT request path `x`.",
  },
  {
    ask: ["GET", "/mmds"],
    when: "always",
    path: "Unrecognized GET request path `x`.",
  },
  { ask: ["PUT", "/mmds"], when: "before", good: { a: 1 } },
  { ask: ["PATCH", "/mmds"], when: "before", good: { b: 1 } },
  {
    ask: ["PUT", "/logger"],
    when: "before",
    keys: "log_path level show_level show_log_origin module",
    good: { level: "Warning" },
    type: ["show_level", ...BOOL],
  },
  {
    ask: ["PUT", "/metrics"],
    when: "before",
    good: { metrics_path: "DIR/metrics", "of no meaning": 1 },
    type: ["metrics_path", ...TEXT],
  },
  {
    ask: ["PUT", "/snapshot/create"],
    when: "after",
    keys: "snapshot_type snapshot_path! mem_file_path!",
    good: { snapshot_path: "DIR/state", mem_file_path: "DIR/mem" },
    refused:
      "Create snapshot error: Cannot save the microVM state: Operation " +
      "not allowed: save/restore unavailable while running",
    type: ["snapshot_path", ...TEXT],
    path: "Invalid request method and/or path: PUT /snapshot/x.",
  },
  {
    ask: ["PUT", "/snapshot/load"],
    when: "before",
    keys: "snapshot_path! mem_backend mem_file_path enable_diff_snapshots " +
      "track_dirty_pages resume_vm network_overrides vsock_override " +
      "clock_realtime huge_pages",
    good: { snapshot_path: "/none", mem_file_path: "/none" },
    refused: "Load snapshot error: Loading a microVM snapshot not allowed " +
      "after configuring boot-specific resources.",
    type: ["network_overrides", ...LIST],
    path: "Invalid request method and/or path: PUT /snapshot/x.",
  },
  ...(["PUT", "PATCH", "DELETE"] as const).map((method): Row => ({
    ask: [method, "/pmem/p"],
    when: method === "PUT" ? "always" : "after",
    ...(method !== "DELETE" && { good: {} }),
    refused: "Pmem config error: pmem: not supported by Vireo",
  })),
  ...(["PUT", "PATCH", "GET"] as const).map((method): Row => ({
    ask: [method, "/hotplug/memory"],
    when: method === "PUT" ? "before" : "after",
    ...(method !== "GET" && { good: {} }),
    refused: "Memory hotplug config error: Memory hotplug: not supported by " +
      "Vireo",
    path: `Unrecognized ${method} request path \`x\`.`,
  })),
  { ask: ["GET", "/openapi.json"], when: "always" },
  ...own("GET", "version", "always"),
  ...own("GET", "config", "always"),
  ...own("PUT", "config", "before", { good: { "machine-config": {} } }),
  ...own("GET", "state", "after"),
  ...own("PUT", "exec", "after", {
    keys: "command! env cwd stdin timeout_ms",
    good: { command: "true", timeout_ms: 1 },
    refused: "Vireo error: exec: this machine has no console; it takes " +
      '"console": { "agent": true }, or --agent',
    type: ["env", ...LIST],
  }),
  ...own("PUT", "faults", "after", {
    keys: "device! rules! seed",
    good: { device: "d", rules: [] },
    refused:
      "Vireo error: faults: d was made without; PUT /vireo/config gives it some",
    type: ["rules", ...LIST],
  }),
  ...own("PUT", "trace", "after", {
    keys: "trace_path! types devices max_bytes",
    good: { trace_path: "DIR/trace" },
    type: ["types", ...LIST],
  }),
  ...own("DELETE", "trace", "after"),
  ...own("PUT", "reset", "after", {
    keys: "snapshot_path! mem_file_path!",
    good: { snapshot_path: "/none", mem_file_path: "/none" },
    refused: "Vireo error: No such file or directory (os error 2)",
    type: ["mem_file_path", ...TEXT],
  }),
  ...own("PUT", "fork", "after", {
    keys: "api_sock! id serial_out_path drive_overrides network_overrides " +
      "vsock_override",
    good: { api_sock: "DIR/fork.sock" },
    refused: "Vireo error: fork: to be given, since the machine itself has " +
      "it: drives d: path_on_host, vsock: uds_path",
    type: ["drive_overrides", ...LIST],
  }),
  ...own("PUT", "stop", "after", { bodiless: true }),
];

function own(
  method: Method,
  name: string,
  when: Row["when"],
  more: Partial<Row> = {},
): Row[] {
  const path = `Invalid request method and/or path: ${method} vireo.`;
  return [{ ask: [method, `/vireo/${name}`], when, path, ...more }];
}
