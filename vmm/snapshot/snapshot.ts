/**
 * A snapshot: what a machine was, to go on as, any number of times.
 *
 * @module
 */
import type { MemoryImage } from "./memory_image.ts";
import { saveFolder, type SaveOptions } from "./save_folder.ts";
import type { SavedMachine } from "./saved_machine.ts";

/**
 * A machine between two instructions. It holds a copy of the guest's RAM until
 * it is disposed of; machines that were made of it stay as they are.
 */
export class Snapshot implements Disposable {
  /** All but the RAM. */
  readonly state: SavedMachine;
  /** @internal The RAM. */
  readonly memory: MemoryImage;

  /** @internal */
  constructor(state: SavedMachine, memory: MemoryImage) {
    this.state = state;
    this.memory = memory;
  }

  /**
   * Writes it to a folder, which is made if it isn't there. A snapshot that is
   * in it already is replaced, all at once. Unless it is synced, a power
   * cut may damage it.
   *
   * @throws {VireoError} it can't be written there
   */
  save(folder: string, options: SaveOptions = {}): void {
    saveFolder(this, folder, options);
  }

  /** Lets go of the copy of the RAM. */
  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}
