/** What can be asked of a machine that runs. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { HI, says } from "../../vmm/testing/tiny_guest.ts";
import { Recorder } from "../metrics.ts";
import type { Method } from "../http/parser.ts";
import { startGuest as start, TestFolder as Folder } from "../testing/guest.ts";
import { TestApi } from "../testing/test_api.ts";

const PAYLOAD =
  new URL("../../images/payload/payload.elf", import.meta.url).pathname;
const AFTER =
  "The requested operation is not supported after starting the microVM.";
const NO_BALLOON = "Balloon update error: Failed perform action on device: " +
  "Device not found";

/** Waits until the guest has done more: one line may have been half printed. */
async function goesOn(test: TestApi): Promise<void> {
  const before = test.output.length;
  const seen = () => test.output.slice(-200);
  const done = () => /\n.*\n/.test(test.output.slice(before));
  await until(done, "more of the guest", seen);
}

Deno.test(needing([KVM], {
  name:
    "API: a running disk gets another image and other limits, by either engine",
  async fn() {
    for (const io_engine of ["Sync", "Async"]) {
      using folder = new Folder();
      await using test = new TestApi();
      const [first, second] = [folder.file("a.img"), folder.file("b.img")];
      const drive = {
        ...{ drive_id: "d", is_root_device: false, io_engine },
        cache_type: "Writeback", // the guest flushes
      };
      const body = { ...drive, path_on_host: first };
      await test.good("PUT", "/drives/d", body);
      await start(test, PAYLOAD, "journal");
      await goesOn(test);

      const other = { drive_id: "d", path_on_host: second };
      await test.good("PATCH", "/drives/d", other);
      const empty = (path: string) =>
        Deno.readFileSync(path).every((byte) => byte === 0);
      await until(() => !empty(second), "blocks in the second image");
      // What was under way has gone to the first; nothing more does.
      Deno.writeFileSync(first, new Uint8Array(1 << 20));
      for (let i = 0; i < 3; i++) await goesOn(test);
      assert.ok(empty(first), "the first image is let go");
      assert.match(
        await test.bad("PATCH", "/drives/d", { ...other, path_on_host: "/no" }),
        /: No such file or directory \(os error 2\) \/no$/,
      );
      await goesOn(test);

      const limit = (size: number) => ({
        drive_id: "d",
        rate_limiter: { ops: { size, refill_time: 3_600_000 } },
      });
      await test.good("PATCH", "/drives/d", limit(1));
      let length = -1;
      await until(() => {
        const same = test.output.length === length;
        length = test.output.length;
        return same;
      }, "a pause");
      await test.good("PATCH", "/drives/d", limit(0));
      await goesOn(test);
      const { drives: [told] } = await test.good("GET", "/vm/config") as {
        drives: Record<string, unknown>[];
      };
      assert.equal(told?.["path_on_host"], second);
      assert.deepEqual(told?.["rate_limiter"], {
        bandwidth: null,
        ops: { size: 0, refill_time: 3_600_000 },
      });
    }
  },
}));

Deno.test(needing([KVM], {
  name: "API: what is wrong after the start, word for word",
  async fn() {
    using folder = new Folder();
    await using test = new TestApi();
    await start(test, folder.file("kernel", HI));
    await until(() => test.output.includes("hi"), "hi");
    const drive = { drive_id: "d", path_on_host: "/x", is_root_device: false };
    const network = { iface_id: "n", host_dev_name: "t" };
    const before: [string, unknown][] = [
      ["/machine-config", { vcpu_count: 1, mem_size_mib: 1 }],
      ["/boot-source", { kernel_image_path: "/x" }],
      ["/vsock", { guest_cid: 3, uds_path: "/x" }],
      ["/entropy", {}],
      ["/serial", {}],
      ["/balloon", { amount_mib: 1, deflate_on_oom: true }],
      ["/logger", {}],
      ["/metrics", { metrics_path: "/x" }],
      ["/cpu-config", {}],
      ["/hotplug/memory", {}],
      ["/actions", { action_type: "InstanceStart" }],
      ["/snapshot/load", { snapshot_path: "/x", mem_file_path: "/y" }],
    ];
    for (const [uri, body] of before) {
      assert.equal(await test.bad("PUT", uri, body), AFTER, uri);
    }
    const rows: [Method, string, unknown, string][] = [
      ["PATCH", "/machine-config", { vcpu_count: 1 }, AFTER],
      ["PUT", "/drives/d", drive, "Drive config error: PCI is not enabled"],
      ["DELETE", "/drives/d", , "Drive config error: PCI is not enabled"],
      [
        ...["PUT", "/network-interfaces/n", network] as const,
        "Network config error: PCI is not enabled",
      ],
      [
        ...["DELETE", "/network-interfaces/n", undefined] as const,
        "Network config error: PCI is not enabled",
      ],
      [
        ...["PATCH", "/drives/d", {
          drive_id: "d",
          path_on_host: "/x",
        }] as const,
        "Drive config error: Unable to find the block device: d",
      ],
      [
        ...["PATCH", "/network-interfaces/n", { iface_id: "n" }] as const,
        "Network config error: Unable to find the network device: n",
      ],
      [
        ...["GET", "/balloon", undefined] as const,
        "Balloon config error: No balloon device found.",
      ],
      [
        ...["GET", "/balloon/statistics", undefined] as const,
        "Balloon config error: No balloon device found.",
      ],
      ["PATCH", "/balloon", { amount_mib: 1 }, NO_BALLOON],
      ["PATCH", "/balloon/hinting/start", , NO_BALLOON],
      [
        ...["PATCH", "/balloon/statistics"] as const,
        { stats_polling_interval_s: 1 },
        NO_BALLOON,
      ],
      [
        ...["GET", "/hotplug/memory", undefined] as const,
        "Memory hotplug config error: Memory hotplug: not supported by Vireo",
      ],
      [
        ...["PUT", "/actions", { action_type: "SendCtrlAltDel" }] as const,
        "Internal VMM error: I8042 error: i8042 internal buffer full.",
      ],
    ];
    // Nobody reads what is pressed.
    for (let times = 0; times < 4; times++) {
      await test.good("PUT", "/actions", { action_type: "SendCtrlAltDel" });
    }
    for (const [method, uri, body, text] of rows) {
      assert.equal(await test.bad(method, uri, body), text, `${method} ${uri}`);
    }
  },
}));

Deno.test(needing([KVM], {
  name:
    "API: balloon, vsock, entropy: made, told of, and changed while the guest runs",
  async fn() {
    using folder = new Folder();
    await using test = new TestApi();
    const balloon = {
      amount_mib: 4,
      deflate_on_oom: true,
      stats_polling_interval_s: 1,
      free_page_hinting: true,
      free_page_reporting: false,
    };
    await test.good("PUT", "/balloon", balloon);
    await test.good("PUT", "/entropy", {});
    const uds_path = `${folder.path}/v.sock`;
    for (let times = 0; times < 2; times++) { // the old one goes
      const answer = await test.ask("PUT", "/vsock", {
        ...{ vsock_id: "v", guest_cid: 3, uds_path },
      });
      assert.deepEqual([answer.status, answer.deprecated], [204, true]);
      assert.ok(Deno.statSync(uds_path).isSocket, "it is there already");
    }
    await start(test, folder.file("kernel", HI));
    await until(() => test.output.includes("hi"), "hi");
    assert.deepEqual(await test.good("GET", "/balloon"), balloon);
    await test.good("PATCH", "/balloon", { amount_mib: 8 });
    assert.deepEqual(await test.good("GET", "/balloon/statistics"), {
      ...{ target_pages: 2048, actual_pages: 0, target_mib: 8, actual_mib: 0 },
    });
    assert.match(
      await test.bad("PATCH", "/balloon", { amount_mib: 17 }),
      /^Balloon update error: /,
    );
    assert.match(
      await test.bad("PATCH", "/balloon/statistics", {
        stats_polling_interval_s: 0,
      }),
      /cannot be enabled\/disabled after activation/,
    );
    const config = await test.good("GET", "/vm/config") as Record<
      string,
      unknown
    >;
    assert.deepEqual(config["balloon"], { ...balloon, amount_mib: 8 });
    assert.deepEqual(config["entropy"], { rate_limiter: null });
    assert.deepEqual(config["vsock"], { guest_cid: 3, uds_path });
  },
}));

Deno.test(needing([KVM], {
  name: "API: the balloon's size is whole MiB, in the midst of one too",
  async fn() {
    using folder = new Folder();
    await using test = new TestApi();
    await test.good("PUT", "/balloon", {
      ...{ amount_mib: 4, deflate_on_oom: true, stats_polling_interval_s: 1 },
    });
    // It writes 511 to `actual` of the first device.
    const guest = says("b", [
      ...[0xbb, 0x04, 0x11, 0x00, 0xc0], // mov ebx, 0xc0001104
      ...[0xc7, 0x03, 0xff, 0x01, 0x00, 0x00, 0xeb, 0xfe], // mov [rbx], 511; jmp
    ]);
    await start(test, folder.file("kernel", guest));
    let told: unknown;
    await until(async () => {
      told = await test.good("GET", "/balloon/statistics");
      return (told as Record<string, unknown>)["actual_pages"] === 511;
    }, "what it writes");
    assert.deepEqual(told, {
      ...{ target_pages: 1024, actual_pages: 511 },
      ...{ target_mib: 4, actual_mib: 1 },
    });
  },
}));

Deno.test(needing([KVM], {
  name: "API: metrics are lines of what was done since the last one",
  async fn() {
    using folder = new Folder();
    await using test = new TestApi();
    const path = `${folder.path}/metrics`;
    const metrics = { metrics_path: path, emit_id: true, properties: { a: 1 } };
    await test.good("PUT", "/metrics", { ...metrics, "of no meaning": 1 });
    assert.match(
      await test.bad("PUT", "/metrics", metrics),
      /Reinitialization of metrics not allowed\.$/,
    );
    await test.bad("PUT", "/drives/d", {
      drive_id: "d",
      path_on_host: "/none",
      is_root_device: true,
    });
    await start(test, folder.file("kernel", HI));
    const flush = { action_type: "FlushMetrics" };
    await test.good("PUT", "/actions", flush);
    await test.good("PATCH", "/vm", { state: "Paused" });
    await test.good("PUT", "/actions", flush);
    const lines = Deno.readTextFileSync(path).trim().split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(lines.length, 2);
    const [first, second] = lines;
    assert.deepEqual([first.id, first.properties], ["test", { a: 1 }]);
    const { put_api_requests: puts } = first;
    assert.deepEqual(
      [puts.drive_count, puts.drive_fails, puts.actions_count],
      [1, 1, 1],
    );
    assert.deepEqual(
      [puts.metrics_count, puts.metrics_fails, puts.boot_source_count],
      [2, 1, 1],
    );
    assert.equal(second.put_api_requests.drive_count, 0);
    assert.equal(second.put_api_requests.actions_count, 1);
    assert.ok(second.latencies_us.pause_vm > 0);
    assert.ok(second.utc_timestamp_ms >= first.utc_timestamp_ms);
  },
}));

Deno.test(needing([KVM], {
  name: "API: metrics of disks, each and all, since the last line",
  async fn() {
    using folder = new Folder();
    await using test = new TestApi();
    const path = `${folder.path}/metrics`;
    await test.good("PUT", "/metrics", { metrics_path: path });
    for (const drive_id of ["a", "b"]) {
      await test.good("PUT", `/drives/${drive_id}`, {
        ...{ drive_id, path_on_host: folder.file(`${drive_id}.img`) },
        ...{ is_root_device: false, cache_type: "Writeback" },
      });
    }
    await start(test, PAYLOAD, "journal");
    await until(() => /^journal.*\n.*\n/m.test(test.output), "blocks");
    for (let i = 0; i < 2; i++) {
      await test.good("PUT", "/actions", { action_type: "FlushMetrics" });
      await goesOn(test);
    }
    await test.api.vm.machine.stop();
    const lines = Deno.readTextFileSync(path).trim().split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(lines.length, 2);
    const bytes = lines.map(({ block }) => block.write_bytes);
    for (const { block, block_a, block_b } of lines) {
      assert.ok(block_a.write_count > 0 && block_a.flush_count > 0);
      assert.deepEqual([block_b.write_count, block_a.execute_fails], [0, 0]);
      assert.equal(block.write_bytes, block_a.write_bytes);
    }
    const total = (await test.api.vm.deviceMetrics())["block"]!["write_bytes"]!;
    assert.ok(bytes[0] + bytes[1] <= total, `${bytes} of ${total}`);
  },
}));

Deno.test("metrics: what has no room is counted, and comes with the next line", () => {
  const lines: string[] = [];
  let room = false;
  const recorder = new Recorder();
  recorder.to((line) => room && lines.push(line) > 0, {});
  recorder.count("put_api_requests.drive_count");
  recorder.flush(0);
  room = true;
  recorder.flush(3);
  const [line] = lines.map((line) => JSON.parse(line));
  assert.equal(line.put_api_requests.drive_count, 1);
  assert.equal(line.logger.missed_metrics_count, 1);
  assert.equal(line.logger.missed_log_count, 3);
});
