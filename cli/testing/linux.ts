/**
 * For tests: the prepared Linux in this process, with a shell to type into.
 *
 * @module
 */
import type { KernelVariant } from "../../images/linux/cache.ts";
import { prepared } from "../../images/linux/prepare.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import type { TestMachine } from "../../vmm/testing/mod.ts";
import { answer } from "../../vmm/testing/shell.ts";
import { startKept } from "./kept.ts";

/** A machine with the prepared Linux; its shell is on the main console. */
export class LinuxGuest implements AsyncDisposable {
  /** The machine and its output. */
  readonly test: TestMachine;
  #commands = 0;

  private constructor(test: TestMachine) {
    this.test = test;
  }

  /**
   * The prepared kernel with `config`, when its shell is there: from where an
   * earlier one was saved, if these sources have saved one. Several CPUs, and
   * PCI, take the full one.
   *
   * @param words more words for the kernel command line
   * @param options.kernel another of the prepared kernels than the one that
   *   suits
   * @param options.cold from the beginning, whatever is saved
   */
  static async boot(
    { drives = [], ...config }: Omit<VmConfig, "boot-source">,
    words = "console=ttyS0",
    { kernel, cold }: { kernel?: string; cold?: boolean } = {},
  ): Promise<LinuxGuest> {
    const guest = await prepared(needed(config));
    if (guest === undefined) throw new Error("no prepared guest");
    const root = {
      drive_id: "root",
      path_on_host: guest.rootfs,
      is_root_device: true,
      is_read_only: true,
    };
    const whole = {
      ...config,
      "boot-source": {
        kernel_image_path: kernel ?? guest.kernel,
        boot_args: `${words} reboot=k panic=-1 quiet`,
      },
      drives: [root, ...drives],
    };
    const test = await startKept(whole, { nonce: "t", cold });
    const linux = new LinuxGuest(test);
    await test.printed("_vireo:t:ready");
    await linux.run("stty -echo; PS1= PS2=");
    return linux;
  }

  /** Types a command; returns what it prints, when it has ended. */
  run(command: string): Promise<string> {
    return answer(this.test, command, `end ${++this.#commands}`);
  }

  /** Types. */
  type(text: string): void {
    this.test.machine.input(new TextEncoder().encode(text));
  }

  /** Ends the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.test.machine.stop();
  }
}

function needed(config: Omit<VmConfig, "boot-source">): KernelVariant {
  const { vcpu_count = 1, transport } = config["machine-config"] ?? {};
  return vcpu_count > 1 || transport === "pci" ? "full" : "small";
}

/** One number for each CPU from a line of /proc/interrupts. */
export function interruptCounts(text: string, line: string): number[] {
  const [, counts = ""] =
    new RegExp(`^ *${line}: +([\\d ]+)`, "m").exec(text) ?? [];
  return counts.trim().split(/ +/).map(Number);
}
