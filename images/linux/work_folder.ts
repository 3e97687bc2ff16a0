/**
 * The folder that a build works in, for as long as it takes.
 *
 * @module
 */

/** Programs that are being ended are looked for this often: a second in all. */
const TRIES = 50;

/** A folder for the time of a build, which only one process makes at a time. */
export class WorkFolder implements AsyncDisposable {
  /** Its path. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes it. What an interrupted build left is ended and removed.
   *
   * @param path the folder, which no other process makes meanwhile
   */
  static async make(path: string): Promise<WorkFolder> {
    const folder = new WorkFolder(path);
    await folder[Symbol.asyncDispose]();
    await Deno.mkdir(path);
    return folder;
  }

  /** The environment of programs that work in it, by which they are known. */
  get env(): Record<string, string> {
    return { TMPDIR: this.path };
  }

  /** Removes it, with all that is in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endPrograms();
    try {
      await Deno.remove(this.path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /**
   * Those of a build that was killed go on until they print something, and make
   * files where these are being removed.
   */
  async #endPrograms(): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const ids = programsWith(`TMPDIR=${this.path}`);
      if (ids.length === 0) return;
      for (const id of ids) end(id);
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}

/** The programs with something in their environment, as far as one may know. */
function programsWith(variable: string): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    try {
      const all = Deno.readTextFileSync(`/proc/${name}/environ`).split("\0");
      if (all.includes(variable)) found.push(Number(name));
    } catch {
      // It has ended, or is another user's.
    }
  }
  return found;
}

function end(id: number): void {
  try {
    Deno.kill(id, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
