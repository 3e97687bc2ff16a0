/**
 * The full prepared Linux with devices of several queues, on two CPUs, over
 * PCI: there each queue has an interrupt, and a name. One boot.
 */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../../ffi/testing/needs.ts";
import { commanded } from "../../cli/testing/kept.ts";
import { MiB } from "../../guest/layout.ts";
import { preparedAll } from "../../images/linux/prepare.ts";
import { ALL_KERNELS } from "../../images/testing/prepared.ts";
import { command, ScratchFile, TestNetwork } from "../testing/mod.ts";

const PONG = new URL("../../examples/pong.ts", import.meta.url).href;

Deno.test(needing([KVM, NETWORKS, ALL_KERNELS, "tcpdump", "xz"], {
  name: "Linux: disk and TAP with four queues, a capture, and a function as " +
    "a network",
  async fn(t) {
    const { bzImages, rootfs } = (await preparedAll())!;
    using network = new TestNetwork({ multiQueue: true });
    const { netns, host, guest } = network;
    using disk = new ScratchFile(4 * MiB);
    Deno.writeFileSync(disk.path, new Uint8Array(4 * MiB).fill(0x55));
    using capture = new ScratchFile(0);
    const write = [0, 1].map((cpu) =>
      `taskset ${1 << cpu} dd if=/dev/zero of=/dev/vdb bs=4k count=16 ` +
      `seek=${16 * cpu} oflag=direct 2>/dev/null &`
    );
    const drive = (id: string, path: string, root: boolean) => ({
      drive_id: id,
      path_on_host: path,
      is_root_device: root,
      is_read_only: root,
    });
    const words = [
      ...["console=ttyS0", "quiet", "panic=-1", "reboot=a"],
      `ip=${guest}:::255.255.255.0::eth0:off`,
    ];
    await using test = await commanded(
      {
        "boot-source": {
          kernel_image_path: bzImages.xz,
          boot_args: words.join(" "),
        },
        "machine-config": {
          mem_size_mib: 64,
          vcpu_count: 2,
          transport: "pci",
        },
        drives: [
          drive("root", rootfs, true),
          { ...drive("data", disk.path, false), queues: 4 },
        ],
        "network-interfaces": [
          {
            iface_id: "tap",
            host_dev_name: "tap0",
            netns,
            queues: 4,
            pcap: capture.path,
          },
          { iface_id: "pong", handler: PONG },
        ],
      },
      `read -r release </proc/sys/kernel/osrelease; echo $release
      ifconfig eth1 10.0.0.2 netmask 255.255.255.0
      echo net queues $(grep -c 'virtio2-input' /proc/interrupts)
      echo tap $(ping -q -A -c 3 -W 30 ${host})
      echo handler $(ping -q -A -c 3 -W 30 10.0.0.1)
      set -- /sys/block/vdb/mq/*; echo disk queues $#
      ${write.join("\n")}
      wait; sync
      read -r type </sys/kernel/reboot/type; echo $type; reboot -f`,
    );
    const { reason } = await test.machine.wait();
    const [, stdout = ""] = test.output.split("begin\x1b\\");
    const all = [test.output, ...test.log].join("\n");
    await t.step("a bzImage packed with xz boots to its shell", () => {
      assert.match(stdout, /^\d.*-vireo-full\n/, all);
    });
    await t.step("the guest has four receive queues", () => {
      assert.match(stdout, /^net queues 4$/m, all);
    });
    await t.step("the host answers the guest's pings over the TAP", () => {
      assert.match(stdout, /^tap .*3 packets received/m, all);
    });
    await t.step("examples/pong.ts answers the guest's pings", () => {
      assert.match(stdout, /^handler .*3 packets received/m, all);
    });
    await t.step("tcpdump reads the capture, pings and answers", async () => {
      const text = await command("tcpdump", "-n", "-r", capture.path, "icmp");
      const requests = text.match(
        new RegExp(`IP ${guest} > ${host}: ICMP echo request`, "g"),
      );
      const replies = text.match(
        new RegExp(`IP ${host} > ${guest}: ICMP echo reply`, "g"),
      );
      // With -A, one more may be on its way when the third answer comes.
      const count = requests?.length === 4 ? 4 : 3;
      assert.deepEqual(
        [requests?.length, replies?.length],
        [count, count],
        text,
      );
    });
    await t.step("of the disk's four queues, one per CPU is used", () => {
      assert.match(stdout, /^disk queues 2$/m, all);
      const bytes = Deno.readFileSync(disk.path);
      assert.ok(bytes.subarray(0, 32 * 4096).every((byte) => byte === 0));
      assert.ok(bytes.subarray(32 * 4096).every((byte) => byte === 0x55));
    });
    await t.step("Linux with ACPI: reset, by the FADT's register", () => {
      assert.match(stdout, /^acpi$/m, all);
      assert.equal(reason, "reset");
      assert.doesNotMatch(stdout, /_vireo:.*:end/, "before the commands ended");
    });
  },
}));
