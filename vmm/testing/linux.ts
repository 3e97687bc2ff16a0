/**
 * For tests: the prepared Linux in this process, with a shell to type into.
 *
 * @module
 */
import assert from "node:assert/strict";
import { advise } from "../../ffi/mmap.ts";
import { mappingsOfProcess } from "../../ffi/testing/mmap.ts";
import type { KernelVariant } from "../../images/linux/cache.ts";
import { prepared } from "../../images/linux/prepare.ts";
import type { VmConfig } from "../config/types.ts";
import { TestMachine } from "./mod.ts";
import { until } from "../../ffi/testing/until.ts";

/** A machine with the prepared Linux; its shell is on the main console. */
export class LinuxGuest implements AsyncDisposable {
  /** The machine and its output. */
  readonly test: TestMachine;
  #commands = 0;

  private constructor(test: TestMachine) {
    this.test = test;
  }

  /**
   * Boots the prepared kernel with `config`, and waits for the shell. Several
   * CPUs, and PCI, take the full one.
   *
   * @param words more words for the kernel command line
   * @param kernel another kernel than the one that suits the configuration
   */
  static async boot(
    config: Omit<VmConfig, "boot-source">,
    words = "console=ttyS0",
    kernel?: string,
  ): Promise<LinuxGuest> {
    const guest = await prepared(needed(config));
    if (guest === undefined) throw new Error("no prepared guest");
    const root = {
      drive_id: "root",
      path_on_host: guest.rootfs,
      is_root_device: true,
      is_read_only: true,
    };
    const test = await TestMachine.create({
      ...config,
      "boot-source": {
        kernel_image_path: kernel ?? guest.kernel,
        boot_args: `${words} reboot=k panic=-1 quiet VIREO_NONCE=t`,
      },
      drives: [root, ...config.drives ?? []],
    });
    test.machine.start();
    const linux = new LinuxGuest(test);
    await linux.printed("_vireo:t:ready");
    await linux.run("stty -echo; PS1= PS2=");
    return linux;
  }

  /** Types a command; returns what it prints, when it has ended. */
  async run(command: string): Promise<string> {
    const id = ++this.#commands;
    const from = this.test.output.length;
    // The quotes keep the echo of this line from looking like its answer.
    this.type(`${command}; echo "<"end ${id}">"\n`);
    await this.printed(`<end ${id}>`);
    const output = this.test.output.slice(from);
    return output.slice(0, output.indexOf(`<end ${id}>`)).trim();
  }

  /** Types. */
  type(text: string): void {
    this.test.machine.input(new TextEncoder().encode(text));
  }

  /** Waits until the console has shown `text`. */
  async printed(text: string): Promise<void> {
    await until(
      () => this.test.output.includes(text),
      text,
      () => this.test.output,
    );
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

/** From Linux 5.14 on: pages are made present, and keep what is in them. */
const MADV_POPULATE_WRITE = 23;

/**
 * Makes all of the mapping of this process that is `size` bytes long resident,
 * whatever the guest has touched of it.
 */
export function makeResident(size: number): void {
  const mapping = mappingsOfProcess().find((mapping) => mapping.size === size);
  assert.ok(mapping, `no mapping of ${size} bytes`);
  assert.ok(advise(mapping.start, size, MADV_POPULATE_WRITE));
}

/**
 * Bytes of RAM that the host keeps for the mapping of this process that is
 * `size` bytes long: `Rss` of /proc/self/smaps.
 */
export function residentBytes(size: number): number {
  let matches = false;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range) {
      const [start, end] = range.slice(1).map((hex) => parseInt(hex, 16));
      matches = end! - start! === size;
    }
    const rss = /^Rss: +(\d+) kB/.exec(line);
    if (matches && rss) return Number(rss[1]) * 1024;
  }
  throw new Error(`no mapping of ${size} bytes`);
}
