/**
 * How the kernels are built, as far as it decides what they are: with the
 * configurations and patches it makes the key of the kernels in the cache. A
 * change of anything here has every kernel built again, on every machine.
 *
 * @module
 */

/** What a variant is configured by: later files override earlier ones. */
export const CONFIGS = {
  small: ["vireo.config"],
  full: ["vireo.config", "full.config"],
} as const;

/** What is changed in the source, in this order. */
export const PATCHES = ["vireo.patch", "build.patch"] as const;

/**
 * Parts of the source that are not read at all, and are four fifths of it. The
 * Kconfig files and makefiles stay: all are read whatever they enable.
 */
export const UNUSED = [
  "arch/*/boot/dts",
  "arch/[!x]*/*.[chS]",
  "drivers/[!abcinprtv]*/*.[ch]",
  "drivers/clk/*.[ch]",
  "drivers/crypto/*.[ch]",
  "drivers/iio/*.[ch]",
  "drivers/infiniband/*.[ch]",
  "drivers/net/*/*.[ch]",
  "drivers/pinctrl/*.[ch]",
  "drivers/platform/*.[ch]",
  "drivers/regulator/*.[ch]",
  "drivers/target/*.[ch]",
  "drivers/video/[!c]*.[ch]",
  "Documentation/*/*",
  "fs/btrfs/*.[ch]",
  "fs/nls/nls_[!b]*.c",
  "fs/ocfs2/*.[ch]",
  "fs/smb/*.[ch]",
  "fs/xfs/*.[ch]",
  "sound/*.[ch]",
  "tools/perf",
  "tools/testing",
] as const;

/** Arguments of every `make`. A line of the log for each warning helps nobody. */
export const MAKE_ARGUMENTS = ["KCFLAGS=-w"] as const;

/** The same source gives the same kernel, whoever builds it and where. */
export const MAKE_ENVIRONMENT = {
  KBUILD_BUILD_USER: "vireo",
  KBUILD_BUILD_HOST: "vireo",
} as const;
