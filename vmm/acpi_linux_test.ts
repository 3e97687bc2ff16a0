/**
 * The full prepared Linux with ACPI: devices from the DSDT, processors from
 * the MADT, keyboard, power button and power-off. Needs root for the network.
 */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { preparedAll } from "../images/linux/prepare.ts";
import { ALL_KERNELS } from "../images/testing/prepared.ts";
import type { VmConfig } from "./config/types.ts";
import { DEFAULT_BOOT_ARGS } from "./config/boot_args.ts";
import { commanded } from "../cli/testing/kept.ts";
import { interruptCounts } from "../cli/testing/linux.ts";
import { Machine } from "./machine.ts";
import { ScratchFile, TestNetwork } from "./testing/mod.ts";

Deno.test(needing([KVM, NETWORKS, ALL_KERNELS], {
  name: "Linux with ACPI: DSDT, MADT, keyboard, power button and power-off",
  async fn(t) {
    using network = new TestNetwork();
    using disk = new ScratchFile(1 << 20);
    Deno.writeTextFileSync(disk.path, "from the host\n", { append: false });
    Deno.truncateSync(disk.path, 1 << 20);
    const { bzImages, rootfs } = (await preparedAll())!;
    const topology = "/sys/devices/system/cpu/cpu1/topology";
    const commands = `read -r release </proc/sys/kernel/osrelease; echo $release
      dmesg | grep -E 'ACPI|smp:|ttyS0 at'
      cd /sys/bus/acpi/devices; echo devices *
      cd /sys/bus/platform/devices; echo platform *
      read -r line </proc/cmdline
      case $line in *virtio_mmio[.]device*) echo words;; *) echo no words; esac
      cd ${topology}; set -- $(cat core_id package_cpus_list); cd /
      echo core $1 of $2
      read -r line </dev/vdb; echo $line
      dd of=/dev/vdb bs=512 seek=1 conv=sync,fsync 2>/dev/null <<END
from the guest
END
      ping -q -A -c 5 ${network.host}
      find() {
        for event in /sys/class/input/event*; do
          read -r name <$event/device/name
          case $name in *"$1"*) return; esac
        done
        false
      }
      until find 'AT Raw Set 2'; do sleep 1; done
      echo $$ > /proc/sys/kernel/cad_pid
      trap 'echo pressed; keys=1' INT
      echo for keys
      until [ $keys ]; do :; done
      echo 1 > /proc/sys/kernel/cad_pid
      find Power; exec 3</dev/input/\${event##*/}
      echo before $(grep Ged /proc/interrupts)
      echo waiting
      key=$(xxd -p -l 24 <&3)
      echo key \${key#????????????????????????????????}
      nproc; cat /proc/interrupts
      echo 8 >/proc/sys/kernel/printk`;
    const words = [
      DEFAULT_BOOT_ARGS,
      // Several CPUs, and a console that each letter is an exit for: what is
      // asked of the log is printed once.
      "quiet",
      `ip=${network.guest}:::255.255.255.0::eth0:off`,
    ];
    const drive = (id: string, path: string, root: boolean) => ({
      drive_id: id,
      path_on_host: path,
      is_root_device: root,
      is_read_only: root,
    });
    const config: VmConfig = {
      "boot-source": {
        kernel_image_path: bzImages.zstd,
        boot_args: words.join(" "),
      },
      "machine-config": { mem_size_mib: 64, vcpu_count: 2 },
      drives: [drive("root", rootfs, true), drive("data", disk.path, false)],
      "network-interfaces": [{
        iface_id: "eth0",
        host_dev_name: "tap0",
        netns: network.netns,
      }],
    };
    await using test = await commanded(config, commands);
    await test.printed("for keys\n");
    test.machine.ctrlAltDelete();
    await test.printed("waiting\n");
    await test.machine.pause();
    using snapshot = await test.machine.snapshot();
    await test.machine.resume();
    test.machine.powerButton();
    const end = await test.machine.wait();
    const { output } = test;

    await t.step("a bzImage packed with zstd boots to its shell", () => {
      assert.match(output, /-vireo-full\r?$/m);
    });
    await t.step("the tables are found, and nothing is wrong with them", () => {
      assert.match(output, /ACPI: RSDP 0x0*E0000/i);
      assert.match(output, /ACPI: Interpreter enabled/);
      assert.doesNotMatch(output, /ACPI.*(Error|Warning|BIOS bug)/);
    });
    await t.step("all devices come from the DSDT, each once", () => {
      const ids = [
        ...["ACPI0007:00", "ACPI0013:00", "LNRO0005:00"],
        ...["LNRO0005:01", "LNRO0005:02", "PNP0303:00", "PNP0501:00"],
        "PNP0C0C:00",
      ];
      const found = /^devices (.*)$/m.exec(output)![1]!.split(" ");
      assert.deepEqual(ids.filter((id) => !found.includes(id)), []);
      assert.match(output, /^platform .*LNRO0005:02 /m);
      assert.doesNotMatch(output, /^platform .*virtio-mmio/m);
      assert.match(output, /^no words$/m);
    });
    await t.step("the processors come from the MADT", () => {
      assert.match(output, /ACPI: Using ACPI \(MADT\) for SMP/);
      assert.match(output, /smp: Brought up 1 node, 2 CPUs/);
    });
    await t.step("the CPUs have their timers, and know their cores", () => {
      const text = output.replaceAll("\r", "");
      assert.match(text, /^2\n +CPU0 +CPU1/m);
      const timers = interruptCounts(text, "LOC");
      assert.equal(timers.length, 2);
      assert.ok(timers.every((count) => count > 0), text);
      assert.match(text, /^core 1 of 0-1$/m);
    });
    await t.step("disks and the network work", () => {
      assert.match(output, /^from the host$/m);
      const bytes = Deno.readFileSync(disk.path);
      const sector = new TextDecoder().decode(bytes.subarray(512, 1024));
      assert.match(sector, /^from the guest\n/);
      assert.match(output, /[1-5] packets received/);
    });
    await t.step("every interrupt is an edge at its GSI", () => {
      const edges = /^ *\d+:.* IO-APIC +(\d+)-(\S+) +(\S+)$/gm;
      const lines = [...output.matchAll(edges)].map(([, pin, kind, name]) =>
        `${pin} ${kind} ${name}`
      );
      assert.deepEqual(lines.toSorted(), [
        ...[
          "1 edge i8042",
          "3 edge ACPI:Ged",
          "4 edge ttyS0",
          "5 edge virtio0",
        ],
        ...["6 edge virtio1", "7 edge virtio2"],
      ]);
    });
    await t.step("Ctrl+Alt+Del is heard, once, in an interrupt each", () => {
      assert.equal(output.match(/^pressed$/gm)?.length, 1, output);
      const counts = /^ *\d+:([ \d]+)IO-APIC.* i8042$/m.exec(output)![1]!;
      const sum = counts.trim().split(/ +/).reduce((s, n) => s + Number(n), 0);
      assert.ok(sum >= 4, counts);
    });
    await t.step("the power button is pressed: KEY_POWER, once", () => {
      assert.match(output, /ACPI: button: Power Button \[PWRB\]/);
      // struct input_event: type EV_KEY, code KEY_POWER, value 1.
      assert.match(output, /^key 0100740001000000$/m);
      const [before, after] = ["before", ""].map((word) => {
        const line = new RegExp(
          `^${word} *\\d+:([ \\d]+)IO-APIC.*ACPI:Ged$`,
          "m",
        );
        const counts = line.exec(output)![1]!.trim().split(/ +/);
        return counts.reduce((sum, n) => sum + Number(n), 0);
      });
      // One before, where it goes on from where it was saved: it is another.
      assert.ok(before! <= 1, output);
      assert.equal(after, before! + 1);
    });
    await t.step("power-off goes through _S5", () => {
      assert.match(
        output,
        /ACPI: PM: Preparing to enter system sleep state S5/,
      );
      const { stepped_past: _, ...how } = end; // what that was is the host's
      assert.deepEqual(how, { reason: "power-off" });
    });
    await t.step(
      "restored, it hears Ctrl+Alt+Del: init restarts it",
      async () => {
        await using again = await Machine.restore(snapshot);
        again.start();
        again.ctrlAltDelete();
        assert.equal((await again.wait()).reason, "reset");
      },
    );
  },
}));
