/**
 * A {@linkcode KernelReport} as lines for people.
 *
 * @module
 */
import type { BzImageReport, ElfReport, KernelReport } from "./inspect.ts";
import { MiB } from "../layout.ts";

/** How the ways to enter a kernel read. */
const ENTRY_TEXT = {
  vmlinux: "at its 64-bit entry (vmlinux)",
  pvh: "at its PVH entry (pvh)",
  bzimage: "at its decompressor's 64-bit entry (bzimage)",
} as const;

/** The report, one fact per line, aligned. */
export function formatReport(report: KernelReport): string {
  const rows: [string, string][] = [
    ["format", formatOf(report)],
    ["version", report.version || "not said"],
    [
      "boots",
      report.entry ? ENTRY_TEXT[report.entry] : `no: ${report.refusal}`,
    ],
  ];
  if (report.bzImage) rows.push(...bzImageRows(report.bzImage));
  if (report.elf) rows.push(...elfRows(report.elf));
  rows.push(["config", report.configSource ?? "unknown"]);
  for (const [name, presence] of Object.entries(report.config ?? {})) {
    rows.push([`  ${name}`, presence]);
  }
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, text]) => name.padEnd(width) + text).join("\n");
}

function formatOf({ format, unpacked, size }: KernelReport): string {
  const packed = unpacked.length === 0 ? "" : `, ${unpacked.join(", ")}`;
  return `${format}${packed}, ${size} bytes`;
}

function bzImageRows(image: BzImageReport): [string, string][] {
  return [
    ["boot protocol", image.protocol],
    ["xloadflags", image.xloadflags.join(" ") || "none"],
    ["pref_address", hex(image.pref_address)],
    ["init_size", mebibytes(image.init_size)],
    [
      "relocatable",
      image.relocatable_kernel ? `by ${hex(image.kernel_alignment)}` : "no",
    ],
    ["cmdline_size", `${image.cmdline_size} bytes`],
    ["initrd_addr_max", hex(image.initrd_addr_max)],
    [
      "payload",
      image.payload_length ? `${image.payload_length} bytes` : "none",
    ],
  ];
}

function elfRows(elf: ElfReport): [string, string][] {
  return [
    ["ELF", `${elf.bits} bits, ${elf.size} bytes`],
    ["entry", hex(elf.entry)],
    ["PVH entry", elf.pvhEntry === undefined ? "none" : hex(elf.pvhEntry)],
    [
      "memory",
      `${hex(elf.lowest)} to ${hex(elf.end)}: ${mebibytes(elf.end)} at least`,
    ],
  ];
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`;
}
