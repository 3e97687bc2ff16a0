/**
 * What a machine's devices can be asked while it runs.
 *
 * @module
 */
import { I8042 } from "../devices/platform/i8042.ts";
import { VireoError } from "../ffi/error.ts";
import { pressPowerButton } from "./acpi_events.ts";
import type { BlkCommand } from "../devices/virtio/blk/blk.ts";
import type { ConsoleSize } from "../devices/virtio/console/console.ts";
import type {
  Agent,
  ExecOptions,
  ExecOutput,
  GuestProcess,
  SpawnOptions,
} from "./agent/mod.ts";
import type { FaultCommand, FaultPlan } from "../devices/faults/rules.ts";
import { checkedFaults } from "./devices/faults.ts";
import { BalloonHandle } from "./devices/mod.ts";
import { MachineMonitor } from "./machine_monitor.ts";

/** Not a literal in `import()`: that is read at the start, needed or not. */
const AGENT = new URL("./agent/mod.ts", import.meta.url).href;

/** A machine, as its devices' owner sees it. */
export abstract class MachineDevices extends MachineMonitor {
  #agent: Promise<Agent> | undefined;

  /**
   * Sends a device a command, and returns what it answers: plain data, in the
   * device's own words ({@linkcode VirtioDevice.command}). Before the start it
   * waits, and a paused machine's devices answer, too.
   *
   * @param device its `drive_id`, `iface_id` or `name`
   * @throws {VireoError} no such device, or two, or its objection
   */
  abstract command(device: string, command: unknown): Promise<unknown>;

  /**
   * The terminal at the main console's other end has a new size.
   *
   * @throws {VireoError} the machine has no virtio console; a serial port
   * can't tell the guest
   */
  async resize(columns: number, rows: number): Promise<void> {
    const command: ConsoleSize = { type: "resize", columns, rows };
    await this.command("console", command);
  }

  /**
   * The image of a disk has grown or shrunk: the guest is told its new size,
   * which is returned in bytes.
   *
   * @throws {VireoError} no such disk, or its size is no multiple of 512
   */
  async resizeDrive(driveId: string): Promise<number> {
    return await this.command(driveId, "resize" satisfies BlkCommand) as number;
  }

  /**
   * Bytes for the guest's main console; none is lost while it lives.
   *
   * @returns undefined while there is room for more; when the guest is full, a
   * promise that resolves when it has room again, or has ended
   */
  input(bytes: Uint8Array): Promise<void> | undefined {
    return this.over ? undefined : this.parts.console.input(bytes);
  }

  /**
   * Presses the power button: asks the guest to shut down. What it does is its
   * own choice, and before its driver runs it doesn't notice.
   *
   * @throws {VireoError} when the guest finds its devices without ACPI
   */
  powerButton(): void {
    if (this.over) return;
    if (!this.parts.acpi) {
      throw new VireoError("power button: only a guest with ACPI has one");
    }
    pressPowerButton(this.parts);
  }

  /**
   * Presses Ctrl, Alt and Delete on the guest's keyboard. What the guest does is
   * its own choice; where it has no driver for a keyboard, nothing.
   *
   * @throws {VireoError} earlier presses wait still, for who has no driver
   */
  ctrlAltDelete(): void {
    if (this.over) return;
    const { keyboard } = this.parts.vcpus[0]!.start;
    if (new I8042(keyboard).pressCtrlAltDelete()) return;
    throw new VireoError("i8042 internal buffer full.");
  }

  /**
   * From now on, this happens to some of a drive's requests, or of a network's
   * frames, one with `faults` in its configuration. What was stalled goes on.
   *
   * @throws {VireoError} no such device, or it has no faults; or what is wrong
   * with which rule
   */
  async setFaults(device: string, faults: FaultPlan): Promise<void> {
    const plan = checkedFaults(faults);
    await this.command(
      device,
      { type: "faults", plan } satisfies FaultCommand,
    );
  }

  /** The balloon; asking for one that isn't there is an error. */
  get balloon(): BalloonHandle {
    return new BalloonHandle((command) => this.command("balloon", command));
  }

  /**
   * Runs a command in the guest, to its end. It takes the prepared root image
   * and `"console": { "agent": true }`. Any number may run one after the other,
   * and 32 side by side; more wait. On a machine that was restored or forked,
   * or is back at a snapshot, those that it ran before are killed with its first.
   *
   * @param command for the guest's shell; a list is a program and its arguments
   * @throws {VireoError} there is no agent, or it doesn't answer, or says what
   *   makes no sense; the command was given up; the machine has ended
   */
  async exec(
    command: string | readonly string[],
    options?: ExecOptions,
  ): Promise<ExecOutput> {
    return await (await this.#agentOf()).exec(command, options);
  }

  /**
   * Starts a command in the guest, as {@linkcode exec} does, and returns with
   * its streams while it runs.
   *
   * @throws {VireoError} there is no agent, or it doesn't answer
   */
  async spawn(
    command: string | readonly string[],
    options?: SpawnOptions,
  ): Promise<GuestProcess> {
    return await (await this.#agentOf()).spawn(command, options);
  }

  /** A shell in the guest, on a terminal of its own: 24 lines of 80 unless told. */
  async shell(options: SpawnOptions = {}): Promise<GuestProcess> {
    const terminal = { rows: 24, columns: 80 };
    return await this.spawn(["sh", "-i"], { terminal, ...options });
  }

  #agentOf(): Promise<Agent> {
    return this.#agent ??= (async () => {
      const { Agent }: typeof import("./agent/mod.ts") = await import(AGENT);
      return new Agent(this);
    })();
  }
}
