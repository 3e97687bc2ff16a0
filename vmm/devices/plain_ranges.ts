/**
 * Where plain devices may be: ports and addresses that nothing else has.
 *
 * @module
 */
import { GiB, KiB, Layout, MAX_VIRTIO_DEVICES } from "../../guest/layout.ts";
import { Port, virtioWindow } from "../../guest/layout.ts";

/** Addresses of a device. */
export interface Range {
  /** Of memory, or of ports. */
  space: "mmio" | "port";
  /** The first. */
  address: number;
  /** How many. */
  size: number;
}

/** Who has addresses already, the last of which is excluded. */
type Taken = readonly [from: number, to: number, who: string];

const PORTS: readonly Taken[] = [
  [0x00, 0x20, "where a PC's DMA controller is"],
  [0x20, 0x22, "where an interrupt controller is"],
  [0x40, 0x44, "where the timer is"],
  [Port.I8042_DATA, Port.I8042_DATA + 2, "where the keyboard controller is"],
  [
    Port.I8042_COMMAND,
    Port.I8042_COMMAND + 1,
    "where the keyboard controller is",
  ],
  [Port.RTC, Port.RTC + 2, "where the real-time clock is"],
  [0xa0, 0xa2, "where an interrupt controller is"],
  [Port.COM1, Port.COM1 + 8, "where the serial port is"],
  [0x4d0, 0x4d2, "where an interrupt controller is"],
  [Port.SLEEP, Port.SLEEP + 2, "where the power registers are"],
  [Port.PCI_CONFIG, Port.PCI_CONFIG + 8, "where PCI's configuration is"],
  [Port.ORDERS, Port.ORDERS + 4, "where the prepared init's orders are"],
  [0x1_0000, Infinity, "beyond the last port, 0xffff"],
];

const ADDRESSES: readonly Taken[] = [
  [0, Layout.MMIO_HOLE, "for RAM"],
  [
    Layout.BOOT_TIMER,
    virtioWindow(MAX_VIRTIO_DEVICES),
    "where the boot timer and virtio devices are",
  ],
  [
    Layout.PCI_MEMORY,
    Layout.PCI_MEMORY + Layout.PCI_MEMORY_SIZE,
    "where PCI's memory is",
  ],
  [
    Layout.PCI_ECAM,
    Layout.PCI_ECAM + Layout.PCI_ECAM_SIZE,
    "where PCI's configuration is",
  ],
  [Layout.IOAPIC, 4 * GiB, "where the interrupt controllers are"],
  [4 * GiB, Infinity, "for RAM"],
];

/** Where devices without an address go. */
const FIRST = { mmio: 0xc100_0000, port: 0x5000 } as const;
const ALIGNMENT = { mmio: 4 * KiB, port: 8 } as const;

/** Who is at a range, in words; undefined: nobody. */
export function takenAt(
  { space, address, size }: Range,
  others: readonly Range[],
): string | undefined {
  const of = space === "port" ? PORTS : ADDRESSES;
  const end = address + size;
  const hit = of.find(([from, to]) => address < to && from < end);
  const text = `${hex(address)} to ${hex(end - 1)} is `;
  if (hit) return `${text}${hit[2]}`;
  const other = others.find((one) =>
    one.space === space && address < one.address + one.size &&
    one.address < end
  );
  return other && `${text}where another bus device is`;
}

/** The first address of `size` where nobody is. */
export function freeRange(
  space: Range["space"],
  size: number,
  others: readonly Range[],
): number {
  const step = Math.max(ALIGNMENT[space], 2 ** Math.ceil(Math.log2(size)));
  let address = Math.ceil(FIRST[space] / step) * step;
  while (takenAt({ space, address, size }, others)) address += step;
  return address;
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
