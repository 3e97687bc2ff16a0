/**
 * QEMU's microvm with each choice of settings that can be its best one.
 *
 * @module
 */
import type { Guest, Vmm } from "./guest.ts";
import { PAYLOAD } from "./vireo.ts";

/** The program's name on Debian. */
export const QEMU = "qemu-system-x86_64";

/** Its machine, but for kernel, memory and devices. */
// deno-fmt-ignore
export const MICROVM: readonly string[] = [
  QEMU, "-nodefaults", "-no-user-config", "-no-reboot",
  "-display", "none", "-serial", "stdio",
  // HOST.md's only CPU model that every KVM takes.
  "-accel", "kvm", "-cpu", "qemu64", "-M", "microvm,acpi=off,rtc=on",
  "-global", "virtio-mmio.force-legacy=false",
];

/** How the disk is served. */
interface DiskSettings {
  aio: "io_uring" | "threads" | "native";
  iothread: boolean;
}

const DISK_SETTINGS: readonly DiskSettings[] = [
  { aio: "io_uring", iothread: true },
  { aio: "io_uring", iothread: false },
  { aio: "threads", iothread: true },
];

/** Linux AIO refuses the page cache. */
const DIRECT_SETTINGS: readonly DiskSettings[] = [
  ...DISK_SETTINGS,
  { aio: "native", iothread: true },
];

/** QEMU without a device, or with one whose speed doesn't matter. */
export function qemu(): Vmm {
  return variant("microvm", DISK_SETTINGS[0]!, true);
}

/** The variants for a row about disks. */
export function qemuDiskVariants(direct: boolean): Vmm[] {
  return (direct ? DIRECT_SETTINGS : DISK_SETTINGS).map((settings) =>
    variant(
      `aio=${settings.aio}${settings.iothread ? ", iothread" : ""}, ` +
        `cache=${direct ? "none" : "writeback"}`,
      settings,
      true,
    )
  );
}

/**
 * The variants for a row about networks. A frame of 64 KiB is one only with
 * offloads.
 */
export function qemuNetworkVariants(large: boolean): Vmm[] {
  return (large ? [true] : [true, false]).map((offload) =>
    variant(
      `TAP ${offload ? "with" : "without"} offloads`,
      DISK_SETTINGS[0]!,
      offload,
    )
  );
}

function variant(
  settings: string,
  disk: DiskSettings,
  offload: boolean,
): Vmm {
  return {
    name: "qemu",
    settings,
    command: (guest) => [
      ...(guest.network ? ["ip", "netns", "exec", guest.network.netns] : []),
      ...MICROVM,
      "-kernel",
      PAYLOAD,
      "-m",
      `${guest.memory}M`,
      "-append",
      guest.words,
      ...diskArguments(guest, disk),
      ...networkArguments(guest, offload),
    ],
  };
}

function diskArguments({ disk }: Guest, settings: DiskSettings): string[] {
  if (!disk) return [];
  const { aio, iothread } = settings;
  const cache = disk.direct ? "none" : "writeback";
  return [
    ...(iothread ? ["-object", "iothread,id=io0"] : []),
    "-drive",
    `if=none,id=d0,format=raw,file=${disk.path},cache=${cache},aio=${aio}`,
    "-device",
    `virtio-blk-device,drive=d0${iothread ? ",iothread=io0" : ""}`,
  ];
}

function networkArguments({ network }: Guest, offload: boolean): string[] {
  if (!network) return [];
  const tap = `tap,id=n0,ifname=${network.tap},script=no,downscript=no`;
  const off = "csum=off,guest_csum=off,gso=off,host_tso4=off,guest_tso4=off";
  return [
    "-netdev",
    `${tap},vnet_hdr=${offload ? "on" : "off"}`,
    "-device",
    `virtio-net-device,netdev=n0${offload ? "" : `,${off}`}`,
  ];
}
