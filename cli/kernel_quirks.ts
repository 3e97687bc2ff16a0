/**
 * Words for the command line of a kernel that knows nothing of the host that
 * it is going to run on.
 *
 * @module
 */
import { cacheFolder } from "../images/linux/cache.ts";
import type { KernelCommandLine } from "../guest/boot/cmdline.ts";
import type { VmConfig } from "../vmm/config/types.ts";
import { bootArgs } from "../vmm/config/boot_args.ts";
import { type KnownHost, knownHost } from "../probe/known_host.ts";

/** `X86_FEATURE_*` numbers (Linux, asm/cpufeatures.h): word * 32 + bit. */
const Feature = {
  SSSE3: 137,
  CX16: 141,
  POPCNT: 151,
  ERMS: 297,
  SMAP: 308,
  FSRM: 580,
};

/** The feature that each instruction comes with. */
const FEATURES: Record<string, number> = {
  CMPXCHG16B: Feature.CX16,
  POPCNT: Feature.POPCNT,
  CLAC: Feature.SMAP,
};

/**
 * Words for the command line of a Linux kernel that doesn't know of such a
 * host: without the instructions that KVM refuses, and without `REP MOVSB`,
 * which is emulated byte by byte. XSAVE stays, though it is refused: CPUID and
 * XGETBV of CPL3 are the CPU's, so programs use vector registers that a kernel
 * without it would not switch, and one would get another's.
 *
 * @param given the command line so far: what it says itself stays
 */
export function hostCmdline(
  host: KnownHost,
  given: KernelCommandLine,
): string[] {
  if (!host.emulatesKernel) return [];
  const words: string[] = [];
  // The kernel takes the last clearcpuid= only.
  if (given.get("clearcpuid") === undefined) {
    const features = host.refused.flatMap((name) => FEATURES[name] ?? []);
    // With SSSE3 the kernel mixes its random pool in vector registers.
    features.push(Feature.SSSE3, Feature.ERMS, Feature.FSRM);
    words.push(`clearcpuid=${features.sort((a, b) => a - b).join(",")}`);
  }
  return words;
}

/**
 * Words that keep a distribution's kernel, which has everything, from what
 * takes minutes at a million instructions a second. They cost security and
 * tracing, which a kernel that never runs on the CPU can do without.
 */
const STOCK_CMDLINE: readonly string[] = [
  // Relocating the kernel; page tables in small pages; patching every return.
  "nokaslr",
  "rodata=off",
  "mitigations=off",
  // INVPCID is refused.
  "nopcid",
  "noinvpcid",
  // Slow is not stuck; self-tests use vector instructions.
  "nowatchdog",
  "cryptomgr.notests",
  // 40,000 symbols are looked up, and 10,000 files for tracing made.
  "initcall_blacklist=ftrace_check_for_weak_functions,trace_eval_init," +
  "tracer_init_tracefs,init_kprobe_trace",
];

/** {@linkcode hostCmdline} and more, for the kernel of a distribution. */
export function stockCmdline(
  host: KnownHost,
  given: KernelCommandLine,
): string[] {
  if (!host.emulatesKernel) return [];
  return [...hostCmdline(host, given), ...STOCK_CMDLINE];
}

/**
 * Adds {@linkcode hostCmdline} to the command line in `config`, unless its
 * kernel is a prepared one: that finds out itself.
 *
 * @returns a line for the user when there are any
 * @throws {VireoError} when there is no KVM
 */
export async function addHostCmdline(
  config: VmConfig,
): Promise<string | undefined> {
  const source = config["boot-source"];
  const { kernel_image_path: kernel } = source;
  if (typeof kernel !== "string") return undefined;
  if (isPrepared(kernel)) return undefined;
  const args = bootArgs(config);
  const words = hostCmdline(await knownHost(cacheFolder()), args);
  if (words.length === 0) return undefined;
  source.boot_args = args.add(...words).toString();
  return "this host emulates guest kernel code: its command line also says " +
    words.join(" ");
}

/**
 * Whether a kernel, perhaps through a link, is one that Vireo has built. Those
 * of distributions are in folders of their own.
 */
export function isPrepared(kernel: string): boolean {
  try {
    const folder = Deno.realPathSync(cacheFolder());
    const path = Deno.realPathSync(kernel);
    return path.slice(0, path.lastIndexOf("/")) === folder;
  } catch {
    return false; // who opens it says why
  }
}
