/**
 * For tests: Linux lets go of its drivers and takes them back (unbind and bind
 * in sysfs) while programs use the disk and the network: each time the driver
 * resets the device with I/O in flight, and negotiates anew (virtio 1.2 §3.1,
 * §3.3).
 *
 * @module
 */
import assert from "node:assert/strict";
import type { LinuxGuest } from "./linux.ts";
import type { TestNetwork } from "../../vmm/testing/mod.ts";

/** One for the drivers as they were at boot, one for drivers bound anew. */
const ROUNDS = [1, 2];
const SECTOR = 512;

/** `use` is cut off by the round; `check` must work after it. */
function script({ host, guest }: TestNetwork): string {
  return `
drivers=/sys/bus/virtio/drivers
blk=$(basename $(readlink /sys/block/vdb/device))
net=$(basename $(readlink /sys/class/net/eth0/device))
use() {
  while dd if=/run/disk of=/dev/null bs=64k count=16 && dd if=/dev/zero of=/run/disk bs=64k count=4 conv=fsync
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
for round in ${ROUNDS.join(" ")}; do
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

/**
 * Binds the drivers of `/dev/vdb`, whose image is at `disk`, and of `eth0` anew
 * while they are in use, and checks that both work afterwards.
 */
export async function assertRebinds(
  guest: LinuxGuest,
  network: TestNetwork,
  disk: string,
): Promise<void> {
  // In a shell of its own, which tells nothing of jobs.
  const shown = await guest.run(`(${script(network)}\n)`);
  assert.deepEqual(shown.split(/\r?\n/), [
    ...["0 net", "0 disk"],
    ...ROUNDS.flatMap((n) => [`${n} gone`, `${n} net`, `${n} disk`]),
  ]);
  const bytes = Deno.readFileSync(disk);
  for (const round of [0, ...ROUNDS]) {
    const text = `after ${round}\n`;
    const at = round * SECTOR;
    const block = bytes.subarray(at, at + text.length);
    // The programs' zeros may lie over the marks of rounds before the last.
    if (round === ROUNDS.at(-1) || block[0] !== 0) {
      assert.equal(new TextDecoder().decode(block), text);
    }
  }
}
