/**
 * The folder that a build works in, for as long as it takes.
 *
 * @module
 */

/** Programs that are being ended are looked for this often: a second in all. */
const TRIES = 50;

/** And those whose environment isn't to be seen yet this often: half a second. */
const STARTING_TRIES = 25;

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
      const { ids, starting } = programsWith(`TMPDIR=${this.path}`);
      const mayAppear = starting && tries < STARTING_TRIES;
      if (ids.length === 0 && !mayAppear) return;
      for (const id of ids) end(id);
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}

/**
 * The programs with something in their environment, as far as one may know, and
 * whether any has none: that is so for a moment while `execve` starts one, and
 * for good where someone wanted it.
 */
function programsWith(variable: string): { ids: number[]; starting: boolean } {
  const ids: number[] = [];
  let starting = false;
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    try {
      const all = Deno.readTextFileSync(`/proc/${name}/environ`);
      if (all.split("\0").includes(variable)) ids.push(Number(name));
      // Neither the kernel's threads nor what has ended have a program.
      else if (all === "" && Deno.readLinkSync(`/proc/${name}/exe`)) {
        starting = true;
      }
    } catch {
      // It has ended, or is another user's, or has no program.
    }
  }
  return { ids, starting };
}

function end(id: number): void {
  try {
    Deno.kill(id, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
