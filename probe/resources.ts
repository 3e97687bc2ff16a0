/**
 * What the host has besides KVM: io_uring, TAP, huge pages, cores, memory.
 *
 * @module
 */
import { SystemError, VireoError } from "../ffi/errno.ts";
import { closeFd, Open, openFd } from "../ffi/file.ts";
import { IoUring } from "../ffi/io_uring.ts";
import { Iovecs } from "../ffi/iovecs.ts";
import { MapFlag, Mapping } from "../ffi/memory/mmap.ts";
import type { Failed, HostNames, ResourceReport } from "./report.ts";

const CAP_NET_ADMIN = 12n;

/** Looks at all of it. */
export function probeResources(): ResourceReport {
  const memory = fields("/proc/meminfo");
  const kibibytes = (name: string) => parseInt(memory.get(name) ?? "0");
  return {
    ioUring: ioUring(),
    tap: tap(),
    transparentHugePages: transparentHugePages(),
    hugePages: kibibytes("Hugepagesize") === 2048
      ? kibibytes("HugePages_Free")
      : 0,
    cores: navigator.hardwareConcurrency,
    memory: kibibytes("MemAvailable") * 1024,
  };
}

/** A read of one page through a ring, as a disk would be read. */
function ioUring(): ResourceReport["ioUring"] {
  const PAGE = 4096;
  try {
    using stack = new DisposableStack();
    const file = openFd("/dev/zero", Open.RDONLY, "file");
    stack.defer(() => closeFd(file));
    const ring = new IoUring(file, 8);
    stack.defer(() => ring.close());
    const memory = stack.use(
      new Mapping(2 * PAGE, { flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS }),
    );
    const iovecs = new Iovecs(memory, 0, 1);
    iovecs.set(0, memory.address + PAGE, PAGE);
    ring.readv(1, iovecs.addressOf(0), 1, 0);
    ring.submit();
    if (!ring.hasCompletions) ring.wait();
    if (ring.next() !== 1 || ring.result !== PAGE) {
      return { error: `a read gave ${ring.result}` };
    }
    const { cooperative, features } = ring;
    return { cooperative, features };
  } catch (error) {
    return failure(error, "disks use blocking calls instead");
  }
}

function tap(): ResourceReport["tap"] {
  try {
    closeFd(openFd("/dev/net/tun", Open.RDWR, "TAP driver"));
    const effective = fields("/proc/self/status").get("CapEff") ?? "0";
    const bits = BigInt(`0x${effective}`);
    return { admin: (bits >> CAP_NET_ADMIN & 1n) === 1n };
  } catch (error) {
    const missing = error instanceof SystemError && error.code === "ENOENT";
    return failure(error, missing ? "load it: modprobe tun" : "run it as root");
  }
}

function failure(error: unknown, advice: string): Failed {
  if (!(error instanceof VireoError)) throw error;
  return { error: `${error.message}; ${advice}` };
}

/** The word in brackets: `always [madvise] never`. */
function transparentHugePages(): string {
  const text = read("/sys/kernel/mm/transparent_hugepage/enabled");
  return /\[(\w+)\]/.exec(text)?.[1] ?? "not in this kernel";
}

/** The CPU and the kernel in their own words. */
export function hostNames(): HostNames {
  const cpuinfo = fields("/proc/cpuinfo");
  const flags = (cpuinfo.get("flags") ?? "").split(" ");
  return {
    cpu: cpuinfo.get("model name") ?? "unknown",
    kernel: Deno.osRelease(),
    extension: flags.includes("vmx")
      ? "VT-x"
      : flags.includes("svm")
      ? "AMD-V"
      : "none",
    modules: read("/proc/modules").split("\n")
      .map((line) => line.split(" ")[0]!)
      .filter((name) => name.startsWith("kvm_")),
  };
}

/** `name: value` lines; the first of each name. */
function fields(path: string): globalThis.Map<string, string> {
  const found = new globalThis.Map<string, string>();
  for (const line of read(path).split("\n")) {
    const [name = "", value] = line.split(/:(.*)/s);
    if (value !== undefined && !found.has(name.trim())) {
      found.set(name.trim(), value.trim());
    }
  }
  return found;
}

/** A file of the kernel's; nothing where it isn't. */
function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
