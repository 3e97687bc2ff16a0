/**
 * What a host's properties mean for its user, in plain sentences.
 *
 * @module
 */
import {
  failed,
  type GuestReport,
  type ProbeReport,
  Syscall,
} from "./report.ts";

/** The prepared kernel to its shell, in instructions as simple as those timed. */
const BOOT_INSTRUCTIONS = 8e6;
const MIB = 1024 * 1024;
const LITTLE_MEMORY = 512 * MIB;

/** A report before it has its advice. */
export type Findings = Omit<ProbeReport, "advice">;

/** The advice for these findings, most important first. */
export function adviceFor(findings: Findings): string[] {
  const { kvm, guest, runs } = findings;
  if (failed(kvm)) {
    return [
      `Vireo can't run here: ${kvm.error}.`,
      ...extensionAdvice(findings),
    ];
  }
  const advice: string[] = [];
  const missing = kvm.capabilities.filter(({ need, value }) =>
    need === "needed" && value === 0
  );
  if (missing.length > 0) {
    const names = missing.map(({ name }) => `KVM_CAP_${name}`).join(", ");
    advice.push(`Vireo can't run here: this KVM is without ${names}.`);
  }
  if (failed(guest)) {
    advice.push(`Vireo can't run here: ${guest.error}.`);
  } else if (runs) {
    advice.push(...guestAdvice(guest));
    if (guest.speed.emulatesKernel) advice.push(...extensionAdvice(findings));
  }
  return [...advice, ...resourceAdvice(findings)];
}

/** Where KVM has no extension of the CPU to use: what may be done. */
function extensionAdvice({ host }: Findings): string[] {
  const { extension } = host;
  if (extension === "none") {
    return [
      "The CPU lists neither VT-x nor AMD-V: look for it in the firmware, or, " +
      "in a virtual machine, for nested virtualization on its host.",
    ];
  }
  const module = extension === "VT-x" ? "kvm_intel" : "kvm_amd";
  if (host.modules.includes(module)) return [];
  return [`The CPU has ${extension}. To use it: sudo modprobe ${module}.`];
}

function guestAdvice(
  { speed, syscall, instructions }: GuestReport,
): string[] {
  if (!speed.emulatesKernel) {
    return ["Guest code runs on the CPU itself: any kernel will do."];
  }
  const times = Math.round(speed.user / speed.kernel);
  const seconds = Math.max(1, Math.round(BOOT_INSTRUCTIONS / speed.kernel));
  const advice = [
    "This KVM has no VT-x or AMD-V to use: it emulates guest kernel code, " +
    `${times} times slower than guest programs. Expect Linux to take about ` +
    `${seconds} s to its shell, and use the prepared kernel: ` +
    '"vireo boot" without KERNEL.',
  ];
  if (syscall === Syscall.HALF_DONE) {
    advice.push(
      "Programs' system calls stop half-way here. The prepared kernel knows " +
        'what to do, "--distro debian" has Vireo complete them, and for ' +
        'another kernel "vireo run" does, with "carry_syscalls": true in ' +
        "the machine-config.",
    );
  } else if (syscall !== Syscall.ARRIVES) {
    advice.push("Programs can't make system calls here, on any kernel.");
  }
  const refused = instructions.filter(({ outcome }) => outcome === "refused");
  if (refused.length > 0) {
    const names = refused.map(({ name }) => name).join(", ");
    advice.push(`A kernel that uses ${names} ends with an error here.`);
  }
  return advice;
}

function resourceAdvice({ resources }: Findings): string[] {
  const { ioUring, tap, cores, memory } = resources;
  const advice: string[] = [];
  if (failed(ioUring)) {
    advice.push(`Disks use blocking calls: ${ioUring.error}.`);
  }
  if (failed(tap)) {
    advice.push(`No networks: ${tap.error}.`);
  } else if (!tap.admin) {
    advice.push(
      "A network needs a TAP made for you: " +
        "sudo ip tuntap add tap0 mode tap user $USER.",
    );
  }
  if (cores === 1) {
    advice.push("Guest and devices share one core: there is no polling.");
  }
  if (memory < LITTLE_MEMORY) {
    advice.push(
      `Only ${Math.floor(memory / MIB)} MiB of memory are free; a guest has ` +
        "128 MiB unless --memory says less.",
    );
  }
  return advice;
}
