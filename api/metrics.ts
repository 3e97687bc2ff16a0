/**
 * What is counted of the API, in lines of JSON: what was done since the last
 * line, under the names that readers of Firecracker's metrics know.
 *
 * @module
 */
import { type Groups, since } from "./device_metrics.ts";

/** Where lines go; false: there was no room. */
export type MetricsSink = (line: string) => boolean;

const REQUESTS: Readonly<Record<string, readonly string[]>> = {
  get_api_requests: [
    "instance_info",
    "machine_cfg",
    "mmds",
    "vmm_version",
    "balloon",
    "hotplug_memory",
  ],
  put_api_requests: [
    "actions",
    "boot_source",
    "drive",
    "logger",
    "machine_cfg",
    "cpu_cfg",
    "metrics",
    "network",
    "mmds",
    "vsock",
    "balloon",
    "serial",
    "pmem",
    "hotplug_memory",
  ],
  patch_api_requests: [
    "drive",
    "network",
    "machine_cfg",
    "mmds",
    "balloon",
    "pmem",
    "hotplug_memory",
  ],
};

const LATENCIES: readonly string[] = [
  "full_create_snapshot",
  "diff_create_snapshot",
  "load_snapshot",
  "pause_vm",
  "resume_vm",
];

/** What has happened so far. */
export class Recorder {
  readonly #counts = new Map<string, number>();
  readonly #latencies = new Map<string, number>();
  readonly #start: number;
  #sink: MetricsSink | undefined;
  #extra: Record<string, unknown> = {};
  #missed = 0;
  #devices: Groups = {}; // at the last line

  /** @param start microseconds until the API listened, of this process */
  constructor(start = 0) {
    this.#start = start;
  }

  /** Lines have somewhere to go. */
  get open(): boolean {
    return this.#sink !== undefined;
  }

  /** From now on, lines go there, with `extra` on top. */
  to(sink: MetricsSink, extra: Record<string, unknown>): void {
    this.#sink = sink;
    this.#extra = extra;
  }

  /** One more of `name`, such as `put_api_requests.drive_count`. */
  count(name: string, more = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + more);
  }

  /** How long something took last, in microseconds. */
  took(name: string, microseconds: number): void {
    if (LATENCIES.includes(name)) {
      this.#latencies.set(name, Math.round(microseconds));
    }
  }

  /**
   * Writes a line; what is counted begins anew.
   *
   * @param devices what they have counted since the machine's start
   */
  flush(missedLogs: number, devices: Groups = {}): void {
    if (this.#sink === undefined) return;
    const line = JSON.stringify({
      ...this.#line(missedLogs),
      ...since(devices, this.#devices),
    });
    if (!this.#sink(`${line}\n`)) return void this.#missed++;
    this.#counts.clear();
    this.#devices = devices;
    this.#missed = 0;
  }

  #line(missed_log_count: number): Record<string, unknown> {
    const latencies = Object.fromEntries(
      LATENCIES.flatMap((name) => {
        const value = this.#latencies.get(name) ?? 0;
        return [[name, value], [`vmm_${name}`, value]];
      }),
    );
    return {
      utc_timestamp_ms: Date.now(),
      ...this.#extra,
      api_server: {
        process_startup_time_us: this.#start,
        process_startup_time_cpu_us: 0,
      },
      ...Object.fromEntries(
        Object.entries(REQUESTS).map(([group, names]) => [
          group,
          this.#group(group, names, group.startsWith("get") ? [""] : BOTH),
        ]),
      ),
      deprecated_api: {
        deprecated_http_api_calls: this.#count("deprecated_api"),
        deprecated_cmd_line_api_calls: 0,
      },
      latencies_us: latencies,
      logger: {
        missed_metrics_count: this.#missed,
        metrics_fails: 0,
        missed_log_count,
        rate_limited_log_count: 0,
      },
      seccomp: { num_faults: 0 }, // there is no filter
      vmm: { panic_count: 0 },
    };
  }

  #group(
    group: string,
    names: readonly string[],
    kinds: readonly string[],
  ): Record<string, number> {
    const entries = names.flatMap((name) =>
      kinds.map((kind) => {
        const key = kind === "" ? `${name}_count` : `${name}_${kind}`;
        return [key, this.#count(`${group}.${key}`)];
      })
    );
    return Object.fromEntries(entries);
  }

  #count(name: string): number {
    return this.#counts.get(name) ?? 0;
  }
}

const BOTH: readonly string[] = ["count", "fails"];
