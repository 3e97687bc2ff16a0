/**
 * The Debian packages that Vireo, its kernel build and its tests use, what is
 * used of each, and what for. This is the only place that names them; run as a
 * program it prints the names for the purposes it is given:
 * `deno run ffi/packages.ts "kernel build" "root image"`.
 *
 * @module
 */

/** What a package is for. */
export type Purpose =
  /** Unpacking and patching the source of the prepared kernels. */
  | "kernel source"
  /** Compiling the prepared kernels. */
  | "kernel build"
  /** Making the prepared root image. */
  | "root image"
  /** Unpacking kernels that are compressed in one of the rarer ways. */
  | "kernel formats"
  /** Fetching the kernels of distributions. */
  | "distribution kernels"
  /** Attaching guests to networks. */
  | "networks"
  /** What only the tests call. */
  | "tests"
  /** Heavy programs that only tests with peers compare or talk with. */
  | "peers"
  /** Making a fresh Debian to try all this in. */
  | "fresh root";

/** A package, and what is used of it. */
export interface DebianPackage {
  /** Its name, for `apt-get install`. */
  readonly name: string;
  /** What is used of it: programs by their names, other files by their paths. */
  readonly programs: readonly string[];
  /** What it is used for. */
  readonly purposes: readonly Purpose[];
}

/** The kernel's source, which this package puts into `/usr/src`. */
export const KERNEL_SOURCE = "linux-source-6.1";
/** The file that it is. */
export const KERNEL_SOURCE_FILE = `/usr/src/${KERNEL_SOURCE}.tar.xz`;
/** The programs of the root image. */
export const BUSYBOX = "busybox-static";
/** Debian's kernel for virtual machines: whatever version is current. */
export const CLOUD_KERNEL = "linux-image-cloud-amd64";
/** A kernel that is not Linux; its image is fetched, not installed. */
export const MEMTEST = "memtest86+";

/** What a C compiler needs of the C library, to make a program. */
export const C_LIBRARY = "/usr/include/stdio.h";

/** All of them, in the order of their names. */
export const PACKAGES: readonly DebianPackage[] = [
  entry("acpica-tools", ["iasl"], "tests"),
  entry("bash", ["bash"], "tests"),
  entry("bc", ["bc"], "kernel build"),
  entry("bison", ["bison"], "kernel build"),
  entry("bsdutils", ["script"], "tests"),
  entry(BUSYBOX, ["busybox"], "root image"),
  entry("bzip2", ["bzip2"], "kernel formats"),
  entry("cargo-web", ["cargo"], "peers"),
  entry("chromium", ["chromium"], "peers"),
  entry("cpio", ["cpio"], "tests"),
  entry("curl", ["curl"], "peers"),
  entry("debootstrap", ["debootstrap"], "fresh root"),
  entry(
    "e2fsprogs",
    ["mke2fs", "e2fsck", "debugfs"],
    ...["root image", "tests"] as const,
  ),
  entry("flex", ["flex"], "kernel build"),
  entry("gcc", ["gcc"], "kernel build", "root image", "tests"),
  entry("gdb", ["gdb"], "peers"),
  entry("iproute2", ["ip"], "networks", "tests"),
  entry("iputils-ping", ["ping"], "tests"),
  entry("libc6-dev", [C_LIBRARY], "kernel build", "root image", "tests"),
  entry(
    KERNEL_SOURCE,
    [KERNEL_SOURCE_FILE],
    ...["kernel source", "kernel build"] as const,
  ),
  entry("lz4", ["lz4"], "kernel build", "tests"),
  entry("lzop", ["lzop"], "kernel formats"),
  entry("make", ["make"], "kernel build"),
  entry("mount", ["mount", "losetup"], "tests"),
  entry("passt", ["passt"], "networks"),
  entry("patch", ["patch"], "kernel source", "kernel build"),
  entry("prometheus", ["promtool"], "peers"),
  entry("python3-venv", ["python3"], "peers"),
  entry("qemu-system-x86", ["qemu-system-x86_64"], "peers"),
  entry("rustc-web", ["rustc"], "peers"),
  entry("tcpdump", ["tcpdump"], "tests"),
  entry("tmux", ["tmux"], "tests"),
  entry("util-linux", ["setpriv", "setsid", "unshare", "fsfreeze"], "tests"),
  entry(
    "xz-utils",
    ["xz", "lzma"],
    ...["kernel source", "kernel build", "kernel formats"] as const,
  ),
  entry("zsh", ["zsh"], "tests"),
  entry("zstd", ["zstd"], "kernel build", "tests"),
];

function entry(
  name: string,
  programs: readonly string[],
  ...purposes: readonly Purpose[]
): DebianPackage {
  return { name, programs, purposes };
}

/**
 * The names of the packages for any of these purposes.
 *
 * @param purposes what they are for
 */
export function packagesFor(...purposes: readonly Purpose[]): string[] {
  return PACKAGES.filter((one) =>
    one.purposes.some((purpose) => purposes.includes(purpose))
  ).map(({ name }) => name);
}

/**
 * The name of the package that a program is in.
 *
 * @param program as it is called, such as `ping`, or the path of a file
 * @throws {TypeError} when no package of the list has it
 */
export function packageOf(program: string): string {
  const found = PACKAGES.find(({ programs }) => programs.includes(program));
  if (found) return found.name;
  throw new TypeError(`${program}: no package of ${import.meta.url} has it`);
}

/**
 * The command line that installs packages, to run or to tell.
 *
 * @param names names of packages
 */
export function installCommand(
  names: readonly string[],
): [string, ...string[]] {
  return ["apt-get", "install", "-y", "--no-install-recommends", ...names];
}

if (import.meta.main) {
  const known = new Set(PACKAGES.flatMap(({ purposes }) => purposes));
  for (const purpose of Deno.args) {
    if (known.has(purpose as Purpose)) continue;
    console.error(`vireo: "${purpose}" is none of: ${[...known].join(", ")}`);
    Deno.exit(1);
  }
  console.log(packagesFor(...Deno.args as Purpose[]).join("\n"));
}
