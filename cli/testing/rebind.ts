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

/**
 * `use` and `call` are cut off by the round, at any moment after the first turn
 * of `use`; `check` must work after it. Its node is one of our own, since dd
 * makes a file of a name that is gone. What the shell can do itself takes no
 * process, which is a quarter of a second of emulated kernel code.
 */
function script({ host, guest }: TestNetwork): string {
  return `
drivers=/sys/bus/virtio/drivers
cd -P /sys/block/vdb/device; blk=\${PWD##*/}
cd -P /sys/class/net/eth0/device; net=\${PWD##*/}; cd /
mkfifo /run/never
use() {
  while dd if=$disk of=$disk bs=16k count=2 conv=notrunc,fsync; do echo used; done 2>/dev/null
}
call() { ping -q -A -w 60 ${host} >/dev/null 2>&1; }
check() {
  for dev in /sys/bus/virtio/devices/$blk/block/*/dev; do IFS=: read -r major minor <$dev; done
  disk=/run/disk$major.$minor
  [ -b $disk ] || mknod $disk b $major $minor
  dd of=$disk bs=${SECTOR} seek=$1 conv=sync,fsync 2>/dev/null <<E && echo $1 disk
after $1
E
}
check 0
for round in ${ROUNDS.join(" ")}; do
  use | {
    read -r used
    call &
    read -r -t 0.$round <>/run/never
    echo $blk >$drivers/virtio_blk/unbind
    echo $net >$drivers/virtio_net/unbind
    while read -r used; do :; done
    wait
  }
  [ ! -e /sys/bus/virtio/devices/$blk/block -a ! -e /sys/class/net/eth0 ] && echo $round gone
  echo $blk >$drivers/virtio_blk/bind
  echo $net >$drivers/virtio_net/bind
  check $round
  ifconfig eth0 ${guest} netmask 255.255.255.0 up
  ping -q -c 1 -W 60 ${host} >/dev/null && echo $round net
done
case $(dmesg) in *[Ss]egfault*) dmesg; esac`;
}

/**
 * Binds the drivers of `/dev/vdb`, whose image is at `disk`, and of `eth0` anew
 * while they are in use, and checks that both work afterwards. The network has
 * to work before.
 */
export async function assertRebinds(
  guest: LinuxGuest,
  network: TestNetwork,
  disk: string,
): Promise<void> {
  // In a shell of its own, which tells nothing of jobs.
  const shown = await guest.run(`(${script(network)}\n)`);
  assert.deepEqual(shown.split(/\r?\n/), [
    "0 disk",
    ...ROUNDS.flatMap((n) => [`${n} gone`, `${n} disk`, `${n} net`]),
  ]);
  const bytes = Deno.readFileSync(disk);
  for (const round of [0, ...ROUNDS]) {
    const text = `after ${round}\n`;
    const at = round * SECTOR;
    const block = bytes.subarray(at, at + text.length);
    assert.equal(new TextDecoder().decode(block), text);
  }
}
