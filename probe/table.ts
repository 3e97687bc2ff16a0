/**
 * A probe's report as a table for people.
 *
 * @module
 */
import { MAX_VCPUS } from "../vmm/control.ts";
import {
  failed,
  type GuestReport,
  type KvmReport,
  type ProbeReport,
  type ResourceReport,
  Syscall,
} from "./report.ts";

/** How good a finding is. */
type Mark = "ok" | "slow" | "no";

type Row = readonly [mark: Mark, name: string, value: string];

/** What an instruction's outcome is called, and how good it is. */
const OUTCOMES: Record<string, readonly [mark: Mark, name: string]> = {
  works: ["ok", "instructions done"],
  "refused, carried out": ["slow", "done by Vireo"],
  refused: ["no", "refused"],
  "not in this CPU": ["ok", "not in this CPU"],
};

const COLOURS: Record<Mark, number> = { ok: 32, slow: 33, no: 31 };
const BOLD = 1;
const WIDTH = 80;
const GIB = 1024 ** 3;

/** Lines of text; `colours` for a terminal. */
export function probeTable(report: ProbeReport, colours: boolean): string {
  const paint = (code: number, text: string) =>
    colours ? `\x1b[${code}m${text}\x1b[0m` : text;
  const { host, kvm, guest, resources, advice } = report;
  const parts: [string, Row[]][] = [
    ["KVM", failed(kvm) ? [["no", "/dev/kvm", kvm.error]] : kvmRows(kvm)],
    [
      "Guest code",
      failed(guest) ? [["no", "not tried", guest.error]] : guestRows(guest),
    ],
    ["Host", resourceRows(resources)],
  ];
  const width = Math.max(
    ...parts.flatMap(([, rows]) => rows.map(([, name]) => name.length)),
  );
  const lines = [`${host.cpu}, Linux ${host.kernel}`];
  for (const [title, rows] of parts) {
    lines.push("", paint(BOLD, title));
    for (const [mark, name, value] of rows) {
      const state = paint(COLOURS[mark], mark.padEnd(4));
      const start = `  ${state}  ${name.padEnd(width)}  `;
      const [first = "", ...more] = wrapped(value, WIDTH - width - 10);
      const indent = " ".repeat(width + 10);
      lines.push(start + first, ...more.map((line) => indent + line));
    }
  }
  lines.push("", paint(BOLD, "What that means"));
  for (const text of advice) {
    const [first = "", ...more] = wrapped(text, WIDTH - 4);
    lines.push(`  - ${first}`, ...more.map((line) => `    ${line}`));
  }
  return lines.join("\n") + "\n";
}

function kvmRows({ apiVersion, capabilities, maxVcpus }: KvmReport): Row[] {
  return [
    ["ok", "API version", `${apiVersion}`],
    ...capabilities.map(({ name, need, purpose, value }): Row => {
      if (value > 0) return ["ok", name, purpose];
      const mark = need === "needed" ? "no" : "slow";
      return [mark, name, `missing; ${need}: ${purpose}`];
    }),
    ["ok", "vCPUs of a machine", `${maxVcpus}; Vireo takes up to ${MAX_VCPUS}`],
  ];
}

function guestRows(guest: GuestReport): Row[] {
  const { speed, exits, syscall, instructions, ioeventfd, irqfd } = guest;
  const how = speed.emulatesKernel ? "emulated" : "on the CPU";
  const mark = speed.emulatesKernel ? "slow" : "ok";
  const outcomes = Map.groupBy(instructions, ({ outcome }) => outcome);
  return [
    [mark, "kernel code (CPL0)", `${perSecond(speed.kernel)}, ${how}`],
    ["ok", "user code (CPL3)", perSecond(speed.user)],
    ["ok", "exit by port", times(exits.pioKernel, exits.pioUser)],
    ["ok", "exit by MMIO", times(exits.mmioKernel, exits.mmioUser)],
    [syscall === Syscall.ARRIVES ? "ok" : "slow", "SYSCALL", syscall],
    ...[...outcomes].map(([outcome, those]): Row => {
      const names = those.map(({ name }) => name).join(" ");
      const [mark, label] = OUTCOMES[outcome] ?? ["no", outcome];
      return [mark, label, names];
    }),
    [ioeventfd ? "ok" : "no", "ioeventfd", works(ioeventfd)],
    [irqfd ? "ok" : "no", "irqfd", works(irqfd)],
  ];
}

function resourceRows(resources: ResourceReport): Row[] {
  const { ioUring, tap, hugePages, cores, memory } = resources;
  return [
    failed(ioUring) ? ["slow", "io_uring", ioUring.error] : [
      "ok",
      "io_uring",
      ioUring.cooperative
        ? "works, completions don't interrupt"
        : "works, older than Linux 5.19",
    ],
    failed(tap) ? ["no", "TAP", tap.error] : [
      "ok",
      "TAP",
      tap.admin
        ? "/dev/net/tun opens, CAP_NET_ADMIN"
        : "/dev/net/tun opens, only TAPs made for you",
    ],
    [
      "ok",
      "huge pages",
      `transparent: ${resources.transparentHugePages}; ` +
      `${hugePages} of 2 MiB free`,
    ],
    ["ok", "cores", `${cores}`],
    ["ok", "memory", `${(memory / GIB).toFixed(1)} GiB available`],
  ];
}

function works(it: boolean): string {
  return it ? "works" : "does not work";
}

/** `1.4 M instructions/s` */
function perSecond(rate: number): string {
  const text = rate >= 1e9
    ? `${(rate / 1e9).toFixed(1)} G`
    : `${(rate / 1e6).toFixed(rate >= 1e8 ? 0 : 1)} M`;
  return `${text} instructions/s`;
}

function times(kernel: number, user: number): string {
  const text = (ns: number) => `${(ns / 1000).toFixed(1)} us`;
  return `${text(kernel)} from CPL0, ${text(user)} from CPL3`;
}

/** Lines of at most `width` characters, unless a word has more. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}
