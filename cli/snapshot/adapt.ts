/**
 * Tells a restored guest what is other than it was: its drivers have read
 * addresses of networks when they began, and what it has read of its disks is in
 * its caches.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { DeviceId } from "../../devices/virtio/spec.ts";
import { DeviceWord } from "../../devices/virtio/transport/device_state.ts";
import type { Machine } from "../../vmm/machine.ts";
import { describeFolder, type Overrides } from "../../vmm/snapshot/mod.ts";
import type { SavedMachine } from "../../vmm/snapshot/saved_machine.ts";

type Saved = Pick<SavedMachine, "config" | "devices">;

/** Milliseconds for the guest's commands; a lease may take as long. */
const TIMEOUT = 120_000;

/**
 * Commands for the shell of a prepared guest; undefined: nothing is other that
 * it doesn't notice by itself.
 */
export function adaptation(
  saved: Saved,
  overrides: Overrides,
): string | undefined {
  const disks = (overrides.drives ?? []).filter((drive) =>
    drive.path_on_host !== undefined || drive.backend !== undefined
  ).map(({ drive_id }) => dropCaches(drive_id));
  const networks = (overrides["network-interfaces"] ?? []).flatMap(
    ({ iface_id, guest_mac }) =>
      guest_mac ? [renew(placeOf(saved, iface_id), guest_mac)] : [],
  );
  const files = disks.length > 0 ? ["echo 3 > /proc/sys/vm/drop_caches"] : [];
  const all = [...disks, ...files, ...networks];
  return all.length > 0 ? all.join("\n") : undefined;
}

/** Of the device with this serial number. No process is made to find it. */
function dropCaches(id: string): string {
  const serial = id.slice(0, 20).replaceAll("'", `'\\''`);
  return `for d in /sys/block/vd*; do s=; read -r s < $d/serial
[ "$s" = '${serial}' ] && blockdev --flushbufs /dev/\${d##*/}; done`;
}

/** An address of a DHCP server's is of the old one. */
function renew(device: number, mac: string): string {
  return `for n in /sys/bus/virtio/devices/virtio${device}/net/*; do n=\${n##*/}
ip link set dev $n address ${mac}
[ ! -e /run/udhcpc.$n ] || udhcpc -i $n -n -q -f -S -s /etc/udhcpc/default.script
done`;
}

/** Linux counts devices in the order of their windows. */
function placeOf({ config, devices }: Saved, id: string): number {
  const networks = config["network-interfaces"] ?? [];
  const which = networks.findIndex(({ iface_id }) => iface_id === id);
  const places = devices.flatMap(({ page }, place) => {
    const words = new DataView(page.buffer, page.byteOffset, page.length);
    const kind = words.getUint32(4 * DeviceWord.DEVICE_ID, true);
    return kind === DeviceId.NET ? [place] : [];
  });
  return places[which] ?? -1;
}

/** The machine that was saved. */
export function savedIn(folder: string): Saved {
  return describeFolder(folder).machine;
}

/**
 * Has the guest's agent run them, as soon as the machine runs.
 *
 * @param say tells the user when it can't
 */
export async function adapt(
  machine: Machine,
  saved: Saved,
  overrides: Overrides,
  say: (line: string) => void,
): Promise<void> {
  const commands = adaptation(saved, overrides);
  if (commands === undefined) return;
  const failed = (why: string) =>
    say(`the guest was not told what is other than it was: ${why}`);
  if (!saved.config.console?.agent) {
    const renamed = overrides["network-interfaces"]?.some((network) =>
      network.guest_mac !== undefined
    );
    // With disks the user may know better, and most who move one copy it.
    if (renamed) failed('it has no agent ("console": { "agent": true })');
    return;
  }
  try {
    const result = await machine.exec(commands, { timeout: TIMEOUT });
    if (!result.success) failed(result.errorText().trim().split("\n").at(-1)!);
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    const over = ["ending", "ended"].includes(machine.state);
    if (!over) failed(error.message.split("\n")[0]!);
  }
}
