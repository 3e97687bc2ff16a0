/** fctools, a client of Firecracker in Rust: its own tests, with Vireo. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS, root } from "../ffi/testing/needs.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { type CrateResults, crateTests } from "./testing/crate.ts";
import { RESTARTS } from "../vmm/testing/tiny_guest.ts";
import { writeKernel, writeOptions, writeTestData } from "./testing/fctools.ts";
import { JailedFiles } from "./testing/jails.ts";

const NEEDS = [
  ...[KVM, LINUX, NETWORKS, root("makes jails")],
  ...["cargo", "rustc", "gcc", "debugfs", "unshare", "mount"],
];

/** What isn't run, by what it wants. */
const NOT_RUN = {
  "an agent in the guest, of its authors' making": [
    "vsock_can_connect_to_grpc_lazily",
    "vsock_can_perform_client_streaming_grpc_request",
    "vsock_can_perform_duplex_streaming_grpc_request",
    "vsock_can_perform_server_streaming_grpc_request",
    "vsock_can_perform_unary_grpc_request",
    "vsock_can_use_http_client_backed_by_connection",
    "vsock_can_use_http_client_backed_by_connection_pool",
  ],
  "the host's networks, and nftables": [
    "vm_api_can_patch_mmds_typed",
    "vm_api_can_patch_mmds_untyped",
    "vm_api_can_put_and_get_mmds_typed",
    "vm_api_can_put_and_get_mmds_untyped",
    "vm_can_boot_with_namespaced_networking",
    "vm_can_boot_with_simple_networking",
  ],
  "Firecracker's snapshot-editor": [
    "snapshot_editor_can_get_snapshot_vcpu_states",
    "snapshot_editor_can_get_snapshot_version",
    "snapshot_editor_can_get_snapshot_vm_state",
    "snapshot_editor_can_rebase_memory",
  ],
  "root's password, and passes without": [
    "su_process_spawner_can_elevate",
    "su_process_spawner_can_null_pipes",
    "sudo_process_spawner_can_elevate",
    "sudo_process_spawner_can_null_pipes",
  ],
};

/**
 * Those to which it matters what the guest does: it is Linux for them. It hears
 * the keyboard when it is up, whenever that is.
 */
const OF_LINUX = [
  "vm_can_boot_via_api_calls",
  "vm_can_boot_with_vsock_device",
  "vm_can_shut_down_via_ctrl_alt_del",
  "vm_can_snapshot_after_original_has_exited",
  "vm_can_snapshot_while_original_is_running",
  "vm_can_take_pipes",
  "vm_tracks_state_with_graceful_exit",
];

/** And those that want its driver of the balloon to be up after a time. */
const OF_BALLOON = [
  "vm_api_can_get_balloon_statistics",
  "vm_api_can_perform_balloon_free_page_hinting_runs",
];

/** Those that want the socket to be there after a time. */
const OF_SOCKET = [
  "vmm_can_recv_ctrl_alt_del",
  "vmm_can_recv_sigkill",
  "vmm_can_send_get_request_to_api_socket",
  "vmm_can_send_patch_request_to_api_socket",
  "vmm_can_send_put_request_to_api_socket",
  "vmm_can_take_out_pipes",
  "vmm_get_socket_path_returns_correct_path",
  "vmm_inner_to_outer_path_performs_transformation",
  "vmm_operations_are_rejected_in_incorrect_states",
];

/**
 * Those times, in milliseconds: where a host needs more, there is more for what
 * has failed.
 */
const BALLOON_WAITS_MS = [15_000, 60_000, 300_000];
const SOCKET_WAITS_MS = [2_000, 20_000, 100_000];

/**
 * And of those that want nothing, which have a second try: where the client is
 * held up between an answer and what it does next, and the machine has ended
 * meanwhile, it takes that for a failure.
 */
const AT_ONCE_MS = [100, 1_000];

/** How long that may be, in milliseconds: the host may be crowded. */
const FAR = 600_000;

/** What fails, and why. */
const FAIL: Record<string, string> = {
  metrics_task_can_receive_data_from_fifo:
    "it wants all groups of counters, those of devices that aren't there, and " +
    "of vCPUs' exits; what the newest Firecracker writes fails it, too",
  metrics_task_can_receive_data_from_plaintext: "the same",
};

/** Of 46 that run with the real Firecracker, it passes so many. */
const BAR = 40;

/**
 * Nothing is left of what they make: /tmp, jails, networks and processes are
 * their own.
 */
const APART = [
  ...["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"],
  ...["--mount-proc", "sh", "-c"],
  "mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /srv/jailer && " +
  'exec "$@"',
  "sh",
];

/** What came of them, of all runs. */
class Tally {
  passed = 0;
  readonly failed: string[] = [];
  text = "";

  add({ passed, failed, text }: CrateResults): void {
    this.passed += passed;
    this.failed.push(...failed);
    this.text += text;
  }
}

Deno.test(needing(NEEDS, {
  name:
    `API client: fctools' own tests, plain and jailed, from crates.io as they are: ${BAR} or more pass`,
  async fn() {
    const tests = await crateTests({
      name: "fctools",
      version: "0.7.0-alpha.2",
      features: "full,nix-syscall-backend",
      lock: new URL("testing/fctools.lock", import.meta.url),
      which: ["--test", "*"], // those with a VMM
      // Quickly built: it would have its dependencies as quick as can be.
      settings: [
        'profile.dev.package."*".opt-level=0',
        "profile.dev.build-override.opt-level=0",
      ],
    });
    using files = new JailedFiles();
    await writeTestData(files);
    const env = {
      FCTOOLS_TESTDATA_PATH: files.folder,
      // Its own is sudo.
      CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER: "env",
    };
    const run = (boot_wait_ms: number, args: readonly string[]) => {
      writeOptions(files, {
        boot_wait_ms,
        ...{ boot_socket_timeout_ms: FAR, shutdown_timeout_ms: FAR },
      });
      return tests({ args: ["--exact", ...args], env, through: APART });
    };
    const tally = new Tally();
    /** Runs tests; those that fail and should not, once more, and longer. */
    const inTime = async (
      args: readonly string[],
      waits: readonly number[],
    ) => {
      let left = args;
      for (const [index, wait] of waits.entries()) {
        const { passed, failed, text } = await run(wait, left);
        tally.add({
          passed,
          failed: failed.filter((name) => name in FAIL),
          text,
        });
        left = failed.filter((name) => !(name in FAIL));
        if (left.length === 0) return;
        if (index === waits.length - 1) tally.failed.push(...left);
      }
    };
    await inTime(OF_LINUX, AT_ONCE_MS);
    await inTime(OF_BALLOON, BALLOON_WAITS_MS);
    writeKernel(files, RESTARTS);
    await inTime(OF_SOCKET, SOCKET_WAITS_MS);
    const done = [...OF_LINUX, ...OF_BALLOON, ...OF_SOCKET];
    const skips = [...Object.values(NOT_RUN).flat(), ...done]
      .flatMap((name) => ["--skip", name]);
    await inTime(skips, AT_ONCE_MS);
    const { passed, failed, text } = tally;
    assert.deepEqual(failed.toSorted(), Object.keys(FAIL).toSorted(), text);
    assert.ok(passed >= BAR, text);
  },
}));
