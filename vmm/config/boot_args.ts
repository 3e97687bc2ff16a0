/**
 * The kernel command line of a configuration.
 *
 * @module
 */
import { KernelCommandLine } from "../../guest/boot/cmdline.ts";
import type { VmConfig } from "./types.ts";

/**
 * The command line of a kernel that gets none: console on the serial port;
 * reboot, also after a panic, through the i8042, which ends the machine; and
 * behind that a keyboard which is not asked what it can do, and no mouse.
 */
export const DEFAULT_BOOT_ARGS: string = defaultBootArgs("ttyS0");

function defaultBootArgs(console: "ttyS0" | "hvc0"): string {
  return `console=${console} reboot=k panic=-1 ` +
    "i8042.noaux i8042.nomux i8042.dumbkbd";
}

/** The command line in `config`, or the default one for its console. */
export function bootArgs(config: VmConfig): KernelCommandLine {
  return new KernelCommandLine(
    config["boot-source"].boot_args ??
      defaultBootArgs(config.console?.main ? "hvc0" : "ttyS0"),
  );
}
