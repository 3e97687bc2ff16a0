/** What a restored guest is told. */
import assert from "node:assert/strict";
import { DeviceId } from "../../devices/virtio/spec.ts";
import { DeviceWord } from "../../devices/virtio/transport/device_state.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { MiB } from "../../guest/layout.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { Machine } from "../../vmm/machine.ts";
import { Twin } from "../../vmm/testing/twin.ts";
import { ScratchFile } from "../../vmm/testing/mod.ts";
import type { Overrides } from "../../vmm/snapshot/mod.ts";
import { LinuxGuest } from "../testing/linux.ts";
import { adapt, adaptation } from "./adapt.ts";

const DHCP = new URL("./testing/dhcp.ts", import.meta.url).href;
const drive = (drive_id: string, path_on_host: string) => ({
  ...{ drive_id, path_on_host, is_root_device: false },
});
const network = (guest_mac: string) => ({
  ...{ iface_id: "net", handler: DHCP, guest_mac },
});

Deno.test("restored guest: it is told of other disks and addresses, and of nothing else", async () => {
  const device = (id: number) => {
    const page = new Uint8Array(256);
    page[4 * DeviceWord.DEVICE_ID] = id;
    return { page, queues: [], data: undefined };
  };
  const saved = {
    config: {
      drives: [drive("it's", "/x")],
      "network-interfaces": [network("02:00:00:00:00:07")],
    },
    devices: [device(DeviceId.BLOCK), device(DeviceId.NET)],
  };
  const told = (overrides: object) => adaptation(saved, overrides);
  assert.equal(told({}), undefined);
  assert.equal(told({ vsock: { guest_cid: 7 } }), undefined);
  const pcap = [{ iface_id: "net", pcap: "/y" }];
  assert.equal(told({ "network-interfaces": pcap }), undefined);
  const disk = told({ drives: [{ drive_id: "it's", path_on_host: "/z" }] });
  assert.match(disk!, /'it'\\''s' \] && blockdev --flushbufs/);
  const other = [{ iface_id: "net", guest_mac: "02:00:00:00:00:08" }];
  const mac = told({ "network-interfaces": other });
  assert.match(mac!, /virtio1\/net.*\n.* address 02:00:00:00:00:08\n/);
  const lines: string[] = [];
  const overrides = { "network-interfaces": other } as Overrides;
  await adapt({} as Machine, saved, overrides, (line) => lines.push(line));
  assert.deepEqual(lines, [
    "the guest was not told what is other than it was: it has no agent " +
    '("console": { "agent": true })',
  ]);
});

Deno.test(needing([KVM, LINUX], {
  name:
    "Linux: restored with another disk and MAC, it reads the disk anew and renews its lease",
  async fn() {
    using first = new ScratchFile(MiB);
    using second = new ScratchFile(MiB);
    using frames = new ScratchFile(0);
    const write = (disk: ScratchFile, text: string) => {
      Deno.writeTextFileSync(disk.path, text);
      Deno.truncateSync(disk.path, MiB);
    };
    write(first, "first\n");
    write(second, "second\n");
    const config = {
      console: { agent: true },
      "machine-config": { mem_size_mib: 64 },
      drives: [drive("data", first.path)],
      "network-interfaces": [network("02:00:00:00:00:07")],
    };
    await using linux = await LinuxGuest.boot(
      config,
      "console=ttyS0 ip=dhcp",
    );
    const { machine } = linux.test;
    await linux.run("exec 3</dev/vdb"); // else nothing of it is kept
    // No process is made for it, which takes a guest half a second here.
    const seen = "read -r disk < /dev/vdb; read -r mac < " +
      "/sys/class/net/eth0/address; echo $disk $mac";
    assert.equal(await linux.run(seen), "first 02:00:00:00:00:07");
    using snapshot = await machine.snapshot();
    await machine.pause();
    const overrides = {
      drives: [{ drive_id: "data", path_on_host: second.path }],
      "network-interfaces": [
        { ...network("02:00:00:00:00:09"), pcap: frames.path },
      ],
    } as Overrides;
    await using twin = await Twin.of((options) =>
      Machine.restore(snapshot, overrides, options)
    );
    const kept = await twin.run(seen);
    assert.equal(kept, "first 02:00:00:00:00:07", "what it has read");
    const told: string[] = [];
    await adapt(
      ...[twin.machine, snapshot.state, overrides] as const,
      (line) => told.push(line),
    );
    assert.deepEqual(told, []);
    assert.equal(await twin.run(seen), "second 02:00:00:00:00:09");
    assert.match(await twin.run("ifconfig eth0"), /addr:10\.0\.0\.9 /);
    const sent = Deno.readFileSync(frames.path).toHex();
    assert.match(sent, /080600010800060400010200000000090a0000/);
  },
}));
