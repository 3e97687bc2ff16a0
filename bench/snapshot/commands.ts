/**
 * Whole commands: a boot from the cache, and a restore up to an answer, beside
 * what Deno and the guest take for that by themselves.
 *
 * @module
 */
import { MAIN } from "../../vmm/testing/command.ts";
import { type Figure, timed } from "./figures.ts";

/** As `bin/vireo` starts it: with what that tells V8. */
const VIREO = [
  ...Deno.readTextFileSync(new URL("../../bin/vireo", import.meta.url))
    .match(/--v8-flags=\S+/)!,
  MAIN,
];
const EMPTY = new URL("../paths/empty.ts", import.meta.url).pathname;
/** As many as a machine of one vCPU has. */
const WORKERS = "2";
const DISK_SIZE = 16 << 20;

/**
 * Commands, the second time.
 *
 * @param folder has snapshots of a Linux at its shell: `full`, and `warm` once
 *   it has echoed something
 */
export async function commands(
  folder: string,
  runs: number,
): Promise<Figure[]> {
  const disk = `${folder}/disk`;
  Deno.writeFileSync(disk, new Uint8Array(DISK_SIZE));
  const boot = () => vireo("boot", "--quiet", "--exec", "true");
  const withDisk = () =>
    vireo("boot", "--quiet", "--disk", disk, "--exec", "true");
  await boot();
  await withDisk();
  const figures = [
    {
      name: "vireo boot --exec true",
      goal: 500,
      values: await timed(runs, boot),
    },
    {
      name: "the same with a disk",
      goal: 1000,
      values: await timed(runs, withDisk),
    },
    ...await restores(folder, runs),
  ];
  return figures.map((figure) => ({ unit: "ms", ...figure }));
}

/**
 * Restores in new processes, in turn with an empty program. A guest's first echo
 * of all takes half as many instructions again, restored or not.
 */
async function restores(
  folder: string,
  runs: number,
): Promise<Omit<Figure, "unit">[]> {
  const whole: number[] = [], empty: number[] = [], warm: number[] = [];
  const first: number[] = [];
  {
    // Compiled code is kept by then.
    await using _program = await echoed(`${folder}/warm`);
  }
  for (let run = 0; run < runs; run++) {
    {
      const start = performance.now();
      await using program = new Program(EMPTY, WORKERS);
      await program.shows("ready");
      empty.push(performance.now() - start);
    }
    {
      const start = performance.now();
      await using _program = await echoed(`${folder}/full`);
      first.push(performance.now() - start);
    }
    const start = performance.now();
    await using program = await echoed(`${folder}/warm`);
    const answered = performance.now();
    whole.push(answered - start);
    await program.type("echo $((4300 + 21))\n");
    await program.shows("4321");
    warm.push(performance.now() - answered);
  }
  const beyond = (times: number[]) =>
    times.map((time, run) => time - empty[run]! - warm[run]!);
  return [
    { name: "vireo restore, to an echo's answer", values: whole },
    { name: "an empty Deno program with two workers", values: empty },
    { name: "an echo's answer once it runs", values: warm },
    {
      name: "vireo restore, beyond those two",
      goal: 80,
      values: beyond(whole),
    },
    { name: "the same of a guest's first echo of all", values: beyond(first) },
  ];
}

/** A restored machine, once it has answered. */
async function echoed(snapshot: string): Promise<Program> {
  const program = new Program(...VIREO, "restore", snapshot);
  await program.type("echo $((1200 + 34))\n");
  await program.shows("1234");
  return program;
}

async function vireo(...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", ...VIREO, ...args],
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
}

/** A program that is typed to. */
class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #shown = "";

  constructor(...args: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      env: { NO_COLOR: "1" },
    }).spawn();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
    this.#input = this.#child.stdin.getWriter();
  }

  async type(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text));
  }

  async shows(text: string): Promise<void> {
    while (!this.#shown.includes(text)) {
      const { value, done } = await this.#output.read();
      if (done) throw new Error(`it ended: ${this.#shown}`);
      this.#shown += value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#input.abort().catch(() => {});
    await this.#output.cancel().catch(() => {});
    await this.#child.status;
  }
}
