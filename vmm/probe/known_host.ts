/**
 * What `boot` has to know of a host, measured once per boot of the host and
 * then remembered in `~/.cache/vireo`.
 *
 * @module
 */
import { Kvm } from "../../ffi/kvm.ts";
import { cacheFolder } from "../../guest/linux/cache.ts";
import { emulatesKernel, INSTRUCTIONS, tryInstructions } from "./guest.ts";

/** What matters to a kernel. */
export interface KnownHost {
  /** KVM emulates guest kernel code. */
  emulatesKernel: boolean;
  /** Instructions that it refuses to emulate, by name; else none. */
  refused: string[];
}

/** Changes with what is measured, and how. */
const VERSION = 1;

/**
 * What this host is like: some 10 ms at most the first time, then under one.
 *
 * @param folder where to remember it
 * @throws {VireoError} when there is no KVM
 */
export async function knownHost(
  folder: string = cacheFolder(),
): Promise<KnownHost> {
  const path = `${folder}/host.json`;
  const key = await hostKey();
  try {
    const known = JSON.parse(await Deno.readTextFile(path));
    if (known.key === key) return known.host;
  } catch {
    // Not there yet, or not whole: then it's made.
  }
  const host = measureHost();
  try {
    await Deno.mkdir(folder, { recursive: true });
    const scratch = await Deno.makeTempFile({ dir: folder });
    await Deno.writeTextFile(scratch, JSON.stringify({ key, host }));
    await Deno.rename(scratch, path);
  } catch {
    // A read-only home: then it's measured each time.
  }
  return host;
}

function measureHost(): KnownHost {
  using kvm = new Kvm();
  if (!emulatesKernel(kvm)) return { emulatesKernel: false, refused: [] };
  const refused = tryInstructions(kvm, INSTRUCTIONS)
    .filter(({ outcome }) => outcome === "refused")
    .map(({ name }) => name);
  return { emulatesKernel: true, refused };
}

/** Differs after a reboot, and when another KVM was loaded. */
async function hostKey(): Promise<string> {
  const [boot, { mtime, ino }] = await Promise.all([
    Deno.readTextFile("/proc/sys/kernel/random/boot_id"),
    Deno.stat("/dev/kvm"),
  ]);
  return [VERSION, boot.trim(), ino, mtime?.getTime()].join(" ");
}

/** `X86_FEATURE_*` numbers (Linux, asm/cpufeatures.h): word * 32 + bit. */
const Feature = { CX16: 141, POPCNT: 151, ERMS: 297, SMAP: 308, FSRM: 580 };

/** The feature that each instruction comes with. */
const FEATURES: Record<string, number> = {
  CMPXCHG16B: Feature.CX16,
  POPCNT: Feature.POPCNT,
  CLAC: Feature.SMAP,
};

/**
 * Words for the command line of a Linux kernel that doesn't know of such a
 * host: without the instructions that KVM refuses, and without `REP MOVSB`,
 * which is emulated byte by byte.
 *
 * @param given the command line so far: what it says itself stays
 */
export function kernelWords(host: KnownHost, given: string): string[] {
  if (!host.emulatesKernel) return [];
  const has = (word: RegExp) => word.test(` ${given} `);
  const words: string[] = [];
  if (host.refused.includes("XSAVE") && !has(/ noxsave /)) {
    words.push("noxsave");
  }
  // The kernel takes the last clearcpuid= only.
  if (!has(/ clearcpuid=/)) {
    const features = host.refused.flatMap((name) => FEATURES[name] ?? []);
    features.push(Feature.ERMS, Feature.FSRM);
    words.push(`clearcpuid=${features.sort((a, b) => a - b).join(",")}`);
  }
  return words;
}
