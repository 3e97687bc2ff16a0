/**
 * A snapshot: what a machine was, to go on as, any number of times.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { openFolder } from "./on_disk/folder.ts";
import type { MemoryImage } from "./memory_image.ts";
import type { MachinePool, PoolOptions } from "./pool.ts";
import { saveFolder, type SaveOptions } from "./on_disk/save_folder.ts";
import type { SavedMachine } from "./saved_machine.ts";
import type { Since } from "./on_disk/stored_memory.ts";

// No literal: that would be read whether it is needed or not.
const POOL = new URL("./pool.ts", import.meta.url).href;

/**
 * A machine between two instructions. It holds a copy of the guest's RAM until
 * it is disposed of; machines that were made of it stay as they are.
 */
export class Snapshot implements Disposable {
  /** All but the RAM. */
  readonly state: SavedMachine;
  /** @internal The RAM. */
  readonly memory: MemoryImage;

  #sha256: string | undefined;

  /** @internal */
  constructor(state: SavedMachine, memory: MemoryImage, sha256?: string) {
    this.state = state;
    this.memory = memory;
    this.#sha256 = sha256;
  }

  /** @internal As it was saved last, or read. */
  get sha256(): string | undefined {
    return this.#sha256;
  }

  /**
   * Writes it to a folder, which is made if it isn't there. A snapshot that is
   * in it already is replaced, all at once. Unless it is synced, a power
   * cut may damage it.
   *
   * @throws {VireoError} it can't be written there; `since` was not saved
   */
  save(folder: string, { since, ...options }: SaveOptions = {}): void {
    using opened = typeof since === "string" ? openFolder(since) : undefined;
    const base = opened?.snapshot ?? since as Snapshot | undefined;
    this.#sha256 = saveFolder(this, folder, {
      ...options,
      since: base && sinceOf(base),
    });
  }

  /**
   * Machines that wait to go on from here, and then do in a moment.
   *
   * @param size how many are kept ready, 1 at least
   * @throws {VireoError} one can't be made, or something is missing
   */
  async pool(size: number, options: PoolOptions = {}): Promise<MachinePool> {
    const { MachinePool }: typeof import("./pool.ts") = await import(POOL);
    return await MachinePool.of(this, size, options);
  }

  /** Lets go of the copy of the RAM. */
  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}

function sinceOf({ memory, sha256 }: Snapshot): Since {
  if (sha256 !== undefined) return { memory, sha256 };
  throw new VireoError("snapshot: the one that it is to be since is not saved");
}
