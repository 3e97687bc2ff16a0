/** The machine's configuration: defaults and limits. */
import assert from "node:assert/strict";
import { VireoError } from "../../ffi/errno.ts";
import { GiB, MAX_VIRTIO_DEVICES, MiB } from "../../guest/layout.ts";
import type { Drive, MachineConfig, VmConfig } from "./types.ts";
import {
  checkDeviceCount,
  DEFAULT_BOOT_ARGS,
  drivesInOrder,
  macAddress,
  machineSize,
  memoryOptions,
  rootWords,
  usesAcpi,
} from "./values.ts";

function configWith(parts: Partial<VmConfig>): VmConfig {
  return { "boot-source": { kernel_image_path: "vmlinux" }, ...parts };
}

function size(machine?: MachineConfig): { cpus: number; memory: number } {
  const { cpus, memory } = machineSize(
    configWith({ "machine-config": machine }),
  );
  return { cpus, memory };
}

Deno.test("machineSize: one CPU and 128 MiB unless told otherwise", () => {
  assert.deepEqual(size(), { cpus: 1, memory: 128 * MiB });
  assert.deepEqual(size({}), { cpus: 1, memory: 128 * MiB });
  assert.deepEqual(size({ vcpu_count: 4 }), { cpus: 4, memory: 128 * MiB });
});

Deno.test("machineSize: the limits themselves are allowed", () => {
  assert.deepEqual(size({ vcpu_count: 32, mem_size_mib: 2 }), {
    cpus: 32,
    memory: 2 * MiB,
  });
  assert.equal(size({ mem_size_mib: 65536 }).memory, 64 * GiB);
});

Deno.test("machineSize: beyond them is one clear line", () => {
  for (const vcpu_count of [0, 33, -1, 1.5, NaN]) {
    const message = `cpus: ${vcpu_count} is not 1 to 32`;
    assert.throws(() => size({ vcpu_count }), { name: "VireoError", message });
  }
  for (const mem_size_mib of [0, 1, 65537, 1024 * 1024, -5, 2.5, NaN]) {
    const message = `memory: ${mem_size_mib} MiB is not within 2 MiB to 64 GiB`;
    assert.throws(() => size({ mem_size_mib }), {
      name: "VireoError",
      message,
    });
  }
});

Deno.test("machineSize: smt takes an even number of CPUs, or one", () => {
  const threads = (vcpu_count: number, smt: boolean) =>
    machineSize(configWith({ "machine-config": { vcpu_count, smt } })).threads;
  assert.equal(threads(4, false), 1);
  assert.equal(threads(4, true), 2);
  assert.equal(threads(1, true), 1);
  assert.throws(() => threads(3, true), {
    message: "cpus: with smt, 3 is neither 1 nor an even number",
  });
});

function drive(id: string, parts: Partial<Drive> = {}): Drive {
  return { drive_id: id, path_on_host: id, is_root_device: false, ...parts };
}

Deno.test("drivesInOrder: the root device is first, wherever it stands", () => {
  const root = drive("root", { is_root_device: true });
  const [a, b] = [drive("a"), drive("b")];
  const order = (...drives: Drive[]) =>
    drivesInOrder(configWith({ drives })).map(({ drive_id }) => drive_id);
  assert.deepEqual(order(), []);
  assert.deepEqual(order(a, b), ["a", "b"]);
  assert.deepEqual(order(a, root, b), ["root", "a", "b"]);
  assert.throws(() => order(root, a, { ...root, drive_id: "other" }), {
    message: 'drives: "root" and "other" can\'t both be the root device',
  });
});

Deno.test("rootWords: vda or a partition, read-only or not", () => {
  const words = (parts: Partial<Drive>) =>
    rootWords([drive("root", { is_root_device: true, ...parts })]).join(" ");
  assert.deepEqual(rootWords([drive("data")]), []);
  assert.equal(words({}), "root=/dev/vda rw");
  assert.equal(words({ is_read_only: true }), "root=/dev/vda ro");
  const partuuid = "0eaa91a0-01";
  assert.equal(words({ partuuid }), "root=PARTUUID=0eaa91a0-01 rw");
});

Deno.test("memoryOptions: huge pages as Firecracker names them, or a file", () => {
  const options = (machine?: MachineConfig) =>
    memoryOptions(configWith({ "machine-config": machine }));
  const plain = { hugePages: false, hugePagePool: false, file: undefined };
  assert.deepEqual(options({ huge_pages: "None" }), plain);
  assert.deepEqual(options(), { ...plain, hugePages: true });
  assert.deepEqual(options({ huge_pages: "Transparent" }), options());
  assert.equal(options({ huge_pages: "2M" }).hugePagePool, true);
  assert.equal(options({ memory_file: "/a" }).file, "/a");
  assert.throws(
    () => options({ huge_pages: "1G" as "2M" }),
    /huge_pages: "1G" is not "None", "Transparent" or "2M"/,
  );
  assert.throws(
    () => options({ huge_pages: "2M", memory_file: "/a" }),
    /exclude each other/,
  );
});

Deno.test("checkDeviceCount: as many devices as there are interrupts", () => {
  const drives = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      drive_id: `d${i}`,
      path_on_host: "x",
      is_root_device: false,
    }));
  const network = [{ iface_id: "eth0", host_dev_name: "tap0" }];
  checkDeviceCount(configWith({}));
  checkDeviceCount(configWith({ drives: drives(MAX_VIRTIO_DEVICES) }));
  const tooMany = configWith({
    drives: drives(MAX_VIRTIO_DEVICES - 1),
    "network-interfaces": [...network, ...network],
  });
  assert.throws(() => checkDeviceCount(tooMany), {
    name: "VireoError",
    message: `${MAX_VIRTIO_DEVICES + 1} devices: at most ` +
      `${MAX_VIRTIO_DEVICES} fit on the interrupts`,
  });
});

Deno.test("macAddress: six bytes in hex", () => {
  const mac = macAddress("02:aB:00:ff:7f:01", "tap0");
  assert.deepEqual([...mac], [2, 0xab, 0, 0xff, 0x7f, 1]);
});

Deno.test("macAddress: refuses what is no unicast address", () => {
  for (
    const text of [
      "",
      "02:00:00:00:00",
      "02:00:00:00:00:01:02",
      "02-00-00-00-00-01",
      "2:0:0:0:0:1",
      "0g:00:00:00:00:01",
      "ff:ff:ff:ff:ff:ff",
      "01:00:5e:00:00:01",
      "02:00:00:00:00:01\n",
    ]
  ) {
    assert.throws(() => macAddress(text, "tap0"), VireoError, text);
  }
});

Deno.test("macAddress: made from the name, it is unicast, local and stays", () => {
  const names = Array.from({ length: 200 }, (_, i) => `tap${i}`);
  const addresses = names.map((name) => macAddress(undefined, name));
  for (const mac of addresses) {
    assert.equal(mac.length, 6);
    assert.equal(mac[0]! & 3, 2);
  }
  assert.deepEqual(macAddress(undefined, "tap0"), addresses[0]);
  const different = new Set(addresses.map((mac) => mac.join()));
  assert.equal(different.size, names.length);
});

Deno.test("DEFAULT_BOOT_ARGS: a console, and a way to end the machine", () => {
  assert.match(DEFAULT_BOOT_ARGS, /console=ttyS0/);
  assert.match(DEFAULT_BOOT_ARGS, /reboot=k panic=-1/);
});

Deno.test("usesAcpi: as the kernel has it, unless told on or off", () => {
  const uses = (machine: MachineConfig, kernel: boolean, boot_args?: string) =>
    usesAcpi({
      "boot-source": { kernel_image_path: "vmlinux", boot_args },
      "machine-config": machine,
    }, () => kernel);
  for (const kernel of [false, true]) {
    assert.equal(uses({}, kernel), kernel);
    assert.equal(uses({ acpi: "auto" }, kernel), kernel);
    assert.equal(uses({ acpi: "on" }, kernel), true);
    assert.equal(uses({ acpi: "off" }, kernel), false);
  }
  assert.equal(uses({}, true, "quiet acpi=off"), false, "the guest won't");
  assert.equal(uses({ acpi: "on" }, true, "acpi=off"), true, "our user knows");
  assert.equal(uses({}, true, "acpi=offset noacpi=off"), true);
  assert.equal(uses({}, true, 'VIREO_EXEC="echo acpi=off ok"'), true);
  assert.equal(uses({}, true, "quiet -- acpi=off"), true, "that is init's");
  const acpi = "yes" as "on";
  assert.throws(() => uses({ acpi }, true), {
    name: "VireoError",
    message: 'acpi: "yes" is not one of auto, on, off',
  });
});
