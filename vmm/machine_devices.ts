/**
 * What a machine's devices can be asked while it runs.
 *
 * @module
 */
import type { BlkCommand } from "../devices/virtio/blk/blk.ts";
import type { ConsoleCommand } from "../devices/virtio/console/console.ts";
import { BalloonHandle } from "./devices/mod.ts";

/** A machine, as its devices' owner sees it. */
export abstract class MachineDevices {
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
    const command: ConsoleCommand = { type: "resize", columns, rows };
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

  /** The balloon; asking for one that isn't there is an error. */
  get balloon(): BalloonHandle {
    return new BalloonHandle((command) => this.command("balloon", command));
  }
}
