/**
 * What {@linkcode probe} finds: plain data, for people (`table.ts`) and
 * machines (`vireo probe --json`).
 *
 * @module
 */

/** A part that could not be looked at, and why. */
export interface Failed {
  /** What went wrong, and what to do. */
  error: string;
}

/** What Vireo does with something of KVM's. */
export type Need = "needed" | "used if there";

/** A capability of KVM (KVM API §4.4). */
export interface Capability {
  /** `KVM_CAP_` and this. */
  name: string;
  /** Whether Vireo runs without. */
  need: Need;
  /** What Vireo has it for. */
  purpose: string;
  /** What `KVM_CHECK_EXTENSION` says: 0 when it is missing. */
  value: number;
}

/** `/dev/kvm`. */
export interface KvmReport {
  /** 12: there is no other. */
  apiVersion: number;
  /** Those that Vireo uses. */
  capabilities: Capability[];
  /** The most vCPUs of a machine. */
  maxVcpus: number;
}

/** How fast guest code runs, measured. */
export interface SpeedReport {
  /** Instructions per second at CPL0. */
  kernel: number;
  /** Instructions per second at CPL3. */
  user: number;
  /** Guest kernel code is emulated: there is no VT-x or AMD-V. */
  emulatesKernel: boolean;
}

/** What an exit to Vireo's process and back costs, in nanoseconds. */
export interface ExitReport {
  /** A port read at CPL0. */
  pioKernel: number;
  /** A port read at CPL3. */
  pioUser: number;
  /** An MMIO read at CPL0. */
  mmioKernel: number;
  /** An MMIO read at CPL3. */
  mmioUser: number;
}

/** An instruction that guest kernels use, tried at CPL0. */
export interface InstructionReport {
  /** Its name. */
  name: string;
  /**
   * `works`; `refused` by KVM's emulator; `refused, carried out` by Vireo in
   * its place; `not in this CPU`; or what else happened.
   */
  outcome: string;
}

/** Where SYSCALL goes. Whatever else happens is told in words of its own. */
export const Syscall = {
  ARRIVES: "arrives at CPL0",
  /** What `emulate/syscall_completion.ts` can complete. */
  HALF_DONE: "jumps, but stays at CPL3: #PF at the kernel's entry point",
} as const;

/** What a guest of a few bytes found. */
export interface GuestReport {
  /** How fast it ran. */
  speed: SpeedReport;
  /** What its exits cost. */
  exits: ExitReport;
  /** One of {@linkcode Syscall}, or what happens instead. */
  syscall: string;
  /** What it could not do. */
  instructions: InstructionReport[];
  /** An ioeventfd is signalled by a guest's write, without an exit. */
  ioeventfd: boolean;
  /** An irqfd can be attached to a GSI. */
  irqfd: boolean;
}

/** The host's I/O and resources. */
export interface ResourceReport {
  /** io_uring. */
  ioUring: Failed | { cooperative: boolean; features: number };
  /** TAP interfaces. */
  tap: Failed | { admin: boolean };
  /** The setting of transparent huge pages, such as `madvise`. */
  transparentHugePages: string;
  /** Free huge pages of 2 MiB. */
  hugePages: number;
  /** Cores that this process may use. */
  cores: number;
  /** Memory that is available, in bytes. */
  memory: number;
}

/** What a host says of itself. */
export interface HostNames {
  /** The CPU's name. */
  cpu: string;
  /** The kernel's release. */
  kernel: string;
  /** What `/proc/cpuinfo` lists. */
  extension: "VT-x" | "AMD-V" | "none";
  /** KVM's modules that are loaded, such as `kvm_intel`. */
  modules: string[];
}

/** All of it. */
export interface ProbeReport {
  /** Whether machines can run here. */
  runs: boolean;
  /** The host's own words; nothing is concluded from them but advice. */
  host: HostNames;
  /** `/dev/kvm`. */
  kvm: Failed | KvmReport;
  /** Guest code. */
  guest: Failed | GuestReport;
  /** The host. */
  resources: ResourceReport;
  /** What that means, in sentences. */
  advice: string[];
}

/** True when a part could not be looked at. */
export function failed<T extends object>(part: Failed | T): part is Failed {
  return "error" in part;
}
