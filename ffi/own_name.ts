/**
 * Names in the file system that a process has given and takes away again.
 *
 * @module
 */

/** `path` as it is from everywhere, also after a `chdir`. */
export function absolutePath(path: string): string {
  return path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
}

/**
 * A name that was given to a new file or socket. It goes with this object, but
 * only while it is still the same file's: what somebody has put in its place is
 * theirs. As long as the file or socket is open nothing else can have its inode
 * number, so dispose of the name first.
 */
export class OwnName implements Disposable {
  /** The name, absolute. */
  readonly path: string;
  readonly #device: number;
  readonly #inode: number | null;
  #stays = false;

  /**
   * Takes charge of `path`.
   *
   * @throws {Deno.errors.NotFound} it is gone already
   */
  constructor(path: string) {
    this.path = absolutePath(path);
    const { dev, ino } = Deno.lstatSync(this.path);
    this.#device = dev;
    this.#inode = ino;
  }

  /** From now on the name stays, whoever disposes of this. */
  keep(): void {
    this.#stays = true;
  }

  /**
   * Takes the name away. One that can't be, since its folder may not be written
   * any more, stays: whoever wants it next is told that it is in use.
   */
  [Symbol.dispose](): void {
    if (this.#stays) return;
    try {
      const { dev, ino } = Deno.lstatSync(this.path);
      if (dev !== this.#device || ino !== this.#inode) return;
      Deno.removeSync(this.path);
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
    }
  }

  /** The same, without waiting in this thread for a file system that waits. */
  async remove(): Promise<void> {
    if (this.#stays) return;
    try {
      const { dev, ino } = await Deno.lstat(this.path);
      if (dev !== this.#device || ino !== this.#inode) return;
      await Deno.remove(this.path);
    } catch { /* as above */ }
  }
}
