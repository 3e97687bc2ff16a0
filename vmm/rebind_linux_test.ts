/**
 * Linux lets go of its drivers and takes them back (unbind and bind in sysfs)
 * while programs use the disk and the network: each time the driver resets the
 * device with I/O in flight, and negotiates anew (virtio 1.2 §3.1, §3.3).
 */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { prepared } from "../images/linux/prepare.ts";
import { FULL_LINUX } from "../images/testing/prepared.ts";
import { MiB } from "../guest/layout.ts";
import { boot } from "./testing/command.ts";
import { ScratchFile, TestNetwork } from "./testing/mod.ts";

const ROUNDS = 3;
const SECTOR = 512;

/** `use` is cut off by the round; `check` must work after it. */
function script({ host, guest }: TestNetwork): string {
  return `
drivers=/sys/bus/virtio/drivers
blk=$(basename $(readlink /sys/block/vdb/device))
net=$(basename $(readlink /sys/class/net/eth0/device))
use() {
  while dd if=/run/disk of=/dev/null bs=64k && dd if=/dev/zero of=/run/disk bs=64k count=16 conv=fsync
  do :; done >/dev/null 2>&1
}
call() { while ping -q -c 1 -W 1 ${host}; do :; done >/dev/null 2>&1; }
check() {
  rm -f /run/disk # a node of our own: dd makes a file of a name that is gone
  mknod /run/disk b $(sed 's/:/ /' /sys/bus/virtio/devices/$blk/block/*/dev)
  ifconfig eth0 ${guest} netmask 255.255.255.0 up
  ping -q -c 1 -W 60 ${host} >/dev/null && echo $1 net
  echo "after $1" | dd of=/run/disk bs=${SECTOR} seek=$1 conv=sync,fsync 2>/dev/null &&
    echo $1 disk
}
check 0
for round in ${Array.from({ length: ROUNDS }, (_, i) => i + 1).join(" ")}; do
  use & call &
  sleep 1.$round
  echo $blk >$drivers/virtio_blk/unbind
  echo $net >$drivers/virtio_net/unbind
  wait
  [ ! -e /sys/bus/virtio/devices/$blk/block -a ! -e /sys/class/net/eth0 ] && echo $round gone
  echo $blk >$drivers/virtio_blk/bind
  echo $net >$drivers/virtio_net/bind
  check $round
done
dmesg | grep -i segfault`;
}

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM, NETWORKS, FULL_LINUX], {
    name: `Linux: drivers unbound and bound during I/O, over ${transport}`,
    async fn() {
      const { kernel } = (await prepared("full"))!;
      using disk = new ScratchFile(4 * MiB);
      using network = new TestNetwork();
      const { code, stdout, stderr } = await boot([
        ...[kernel, "--root", "busybox", "--quiet", "--memory", "128M"],
        ...["--transport", transport, "--disk", disk.path],
        ...["--net", `tap=tap0,netns=${network.netns}`],
        ...["--exec", script(network)],
      ]);
      const all = stdout + stderr;
      const expected = ["0 net", "0 disk"];
      for (let round = 1; round <= ROUNDS; round++) {
        expected.push(`${round} gone`, `${round} net`, `${round} disk`);
      }
      assert.deepEqual(stdout.trim().split("\n"), expected, all);
      assert.equal(code, 1, all); // grep found nothing
      const bytes = Deno.readFileSync(disk.path);
      for (let round = 0; round <= ROUNDS; round++) {
        const text = `after ${round}\n`;
        const at = round * SECTOR;
        const block = bytes.subarray(at, at + text.length);
        // The programs' zeros may lie over the marks of rounds before the last.
        if (round === ROUNDS || block[0] !== 0) {
          assert.equal(new TextDecoder().decode(block), text);
        }
      }
    },
  }));
}
