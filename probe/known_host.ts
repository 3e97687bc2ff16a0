/**
 * What `boot` has to know of a host, measured once per boot of the host and
 * then remembered in a folder.
 *
 * @module
 */

// Needed once per boot of the host. Literals in `import()` are read at the
// start, needed or not.
const KVM = new URL("../ffi/kvm/kvm.ts", import.meta.url).href;
const GUEST = new URL("./guest.ts", import.meta.url).href;

/** What of a host matters to a kernel. */
export interface KnownHost {
  /** KVM emulates guest kernel code. */
  emulatesKernel: boolean;
  /**
   * Those of the instructions that a kernel can do without that it refuses to
   * emulate, by name.
   */
  refused: string[];
}

/** The instructions that a kernel can be told to do without. */
const TELLING = ["CLAC", "POPCNT", "XSAVE", "CMPXCHG16B"];

/** Changes with what is measured, and how. */
const VERSION = 2;

/**
 * What this host is like: some tens of milliseconds the first time, then less
 * than one.
 *
 * @param folder where to remember it
 * @throws {VireoError} when there is no KVM
 */
export async function knownHost(folder: string): Promise<KnownHost> {
  const path = `${folder}/host.json`;
  const key = hostKey();
  if (key === undefined) return await measureHost(); // says what is missing
  try {
    const known = JSON.parse(Deno.readTextFileSync(path));
    if (known.key === key) return known.host;
  } catch {
    // Not there yet, or not whole: then it's made.
  }
  const host = await measureHost();
  try {
    Deno.mkdirSync(folder, { recursive: true });
    Deno.writeTextFileSync(path, JSON.stringify({ key, host }));
  } catch {
    // A read-only home: then it's measured each time.
  }
  return host;
}

async function measureHost(): Promise<KnownHost> {
  const { Kvm }: typeof import("../ffi/kvm/kvm.ts") = await import(KVM);
  const guest: typeof import("./guest.ts") = await import(GUEST);
  using kvm = new Kvm();
  if (!guest.emulatesKernel(kvm)) return { emulatesKernel: false, refused: [] };
  const asked = guest.INSTRUCTIONS.filter(({ name }) => TELLING.includes(name));
  const refused = guest.tryInstructions(kvm, asked)
    .filter(({ outcome }) => outcome.startsWith("refused"))
    .map(({ name }) => name);
  return { emulatesKernel: true, refused };
}

/** Differs after a reboot, and when another KVM was loaded. */
function hostKey(): string | undefined {
  try {
    const boot = Deno.readTextFileSync("/proc/sys/kernel/random/boot_id");
    const { mtime, ino } = Deno.statSync("/dev/kvm");
    return [VERSION, boot.trim(), ino, mtime?.getTime()].join(" ");
  } catch {
    return undefined;
  }
}
