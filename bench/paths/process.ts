/**
 * A virtual machine's process, seen from outside: its output with times, its
 * CPU time, its memory.
 *
 * @module
 */

/** `sysconf(_SC_CLK_TCK)`, the unit of /proc/PID/stat on Linux. */
const TICKS_PER_SECOND = 100;

/** CPU seconds that all of the host's processes have used. */
export function hostCpuSeconds(): number {
  // proc(5): user, nice, system, idle, iowait, irq, softirq, ...
  const [user, nice, system, , , irq, softirq] = Deno
    .readTextFileSync("/proc/stat").split("\n")[0]!
    .split(/ +/).slice(1).map(Number) as [number, ...number[]];
  const ticks = user + nice! + system! + irq! + softirq!;
  return ticks / TICKS_PER_SECOND;
}

/** A line of the guest's serial output. */
export interface Line {
  /** Without its end. */
  text: string;
  /** When its end came, in ms since the process was started. */
  time: number;
}

/** A running virtual machine. */
export class VmmProcess implements AsyncDisposable {
  readonly #command: string;
  readonly #child: Deno.ChildProcess;
  readonly #started = performance.now();
  readonly #lines: AsyncGenerator<Line>;
  readonly #errors: Promise<string>;
  /** Everything that the guest printed so far. */
  readonly seen: string[] = [];

  /** Starts `command`. */
  constructor([program, ...args]: string[]) {
    this.#command = [program, ...args].join(" ");
    this.#child = new Deno.Command(program!, {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#lines = this.#read();
    this.#errors = new Response(this.#child.stderr).text();
  }

  /**
   * The next line that `pattern` matches.
   *
   * @throws {Error} when the guest fails, ends or is silent for `timeout` ms
   */
  async line(pattern: RegExp, timeout: number): Promise<Line> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), timeout);
    try {
      for (;;) {
        const { value, done } = await this.#lines.next();
        if (done || /FAILED/.test(value.text)) break;
        if (pattern.test(value.text)) return value;
      }
    } finally {
      clearTimeout(timer);
    }
    throw new Error(
      `${this.#command}\nended, failed or was silent for ${timeout} ms ` +
        `before a line ${pattern}; it printed:\n` +
        `${this.seen.join("\n")}\n${await this.#endAndErrors()}`,
    );
  }

  /** Its number. */
  get pid(): number {
    return this.#child.pid;
  }

  /** CPU seconds so far, user and system, guest included. */
  cpuSeconds(): number {
    const stat = Deno.readTextFileSync(`/proc/${this.#child.pid}/stat`);
    // proc(5): the name in parentheses may hold blanks; utime is field 14.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** Memory that is not the RAM of so many guests, in MiB. */
  memory(ramMiB: number, guests = 1): Memory {
    const maps = Deno.readTextFileSync(`/proc/${this.#child.pid}/smaps`);
    return memoryOf(maps, ramMiB, guests);
  }

  /** Ends the process, whatever it does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endAndErrors();
  }

  async #endAndErrors(): Promise<string> {
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.#child.status;
    await this.#lines.return(undefined);
    return await this.#errors;
  }

  async *#read(): AsyncGenerator<Line> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#child.stdout) {
      const time = performance.now() - this.#started;
      const parts = (rest + decoder.decode(bytes, { stream: true }))
        .split(/\r?\n/);
      rest = parts.pop()!;
      for (const text of parts) {
        this.seen.push(text);
        yield { text, time };
      }
    }
  }
}

/** Memory of a process apart from its guest's RAM, in MiB. */
export interface Memory {
  /** Proportional set size: a page that n processes map counts 1/n. */
  pss: number;
  /** The same as if no other process ran: every page counts once. */
  alone: number;
  /** Pages that are no file's: what the host can't read anew. */
  own: number;
}

/** Sums up /proc/PID/smaps without the mappings of `ramMiB`, one a guest. */
export function memoryOf(smaps: string, ramMiB: number, guests = 1): Memory {
  const memory = { pss: 0, alone: 0, own: 0 };
  let ram = 0;
  for (const mapping of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const kib = (key: string) =>
      Number(mapping.match(new RegExp(`^${key}: +(\\d+) kB`, "m"))?.[1] ?? 0);
    if (kib("Size") === ramMiB * 1024 && kib("Pss") > 0) {
      ram++;
      continue;
    }
    memory.pss += kib("Pss") / 1024;
    memory.alone += kib("Rss") / 1024;
    memory.own += kib("Anonymous") / 1024;
  }
  if (ram !== guests) {
    throw new Error(`${ram} mappings look like the RAM of ${guests} guests`);
  }
  return memory;
}
