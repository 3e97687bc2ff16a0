/**
 * Programs whose output goes to a log file.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";

/** How many of the log's last lines an error shows. */
const LAST_LINES = 8;
/** How many of them it knows: the reason comes before what it has led to. */
const KNOWN_LINES = 200;

/** A program that failed: its message quotes the end of the output. */
export class CommandError extends VireoError {
  /** The class's name. */
  override name = "CommandError";
  /** The program. */
  readonly program: string;
  /** The path of the log with all of its output. */
  readonly log: string;
  readonly #lines: readonly string[];

  /**
   * Puts the message together.
   *
   * @param program the program
   * @param log the path of the log
   * @param lines the end of the output
   */
  constructor(program: string, log: string, lines: readonly string[]) {
    super(
      [
        `${program} failed; all of its output is in ${log}`,
        ...lines.slice(-LAST_LINES),
      ].join("\n  "),
    );
    this.program = program;
    this.log = log;
    this.#lines = lines;
  }

  /**
   * The first line of the output's end that matches.
   *
   * @param pattern what is looked for
   */
  has(pattern: RegExp): string | undefined {
    return this.#lines.find((line) => pattern.test(line));
  }
}

/** Options of {@linkcode runLogged}. */
export interface LoggedOptions {
  /** The working directory. */
  cwd?: string;
  /** Variables added to the environment. */
  env?: Record<string, string>;
  /** Called with each line of the output. */
  onLine?: (line: string) => void;
}

/** A log file that programs write to. */
export class CommandLog {
  /** The file's path. */
  readonly path: string;
  readonly #file: Deno.FsFile;

  /**
   * Opens the log.
   *
   * @param path the file, which is emptied
   */
  constructor(path: string) {
    this.path = path;
    this.#file = Deno.openSync(path, {
      create: true,
      write: true,
      truncate: true,
    });
  }

  /**
   * Appends a line.
   *
   * @param line without its end
   */
  write(line: string): void {
    const bytes = new TextEncoder().encode(`${line}\n`);
    for (let at = 0; at < bytes.length;) {
      at += this.#file.writeSync(bytes.subarray(at));
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Runs a program, with its output and errors in the log.
 *
 * @param log where the output goes
 * @param argv the program and its arguments
 * @param options where it runs, and who sees its lines
 * @throws {CommandError} naming the log and quoting its end, if the program fails
 */
export async function runLogged(
  log: CommandLog,
  argv: readonly [string, ...string[]],
  options: LoggedOptions = {},
): Promise<void> {
  const [program, ...args] = argv;
  log.write(`$ ${argv.join(" ")}`);
  const child = spawn(program, args, options);
  const last: string[] = [];
  const take = async (stream: ReadableStream<Uint8Array>) => {
    const text = stream.pipeThrough(
      new TextDecoderStream() as TransformStream<Uint8Array, string>,
    );
    for await (const line of lines(text)) {
      log.write(line);
      last.push(line);
      if (last.length > KNOWN_LINES) last.shift();
      options.onLine?.(line);
    }
  };
  const [status] = await Promise.all([
    child.status,
    take(child.stdout),
    take(child.stderr),
  ]);
  if (status.success) return;
  throw new CommandError(program, log.path, last);
}

/** The PATH, with the folders of what is root's business most of the time. */
export function withSbin(): string {
  return `${Deno.env.get("PATH") ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`;
}

function spawn(
  program: string,
  args: string[],
  options: LoggedOptions,
): Deno.ChildProcess {
  try {
    return new Deno.Command(program, {
      args,
      cwd: options.cwd,
      // Messages that are looked at must be in English. Debian has mke2fs where
      // an ordinary user's PATH doesn't look.
      env: { LC_ALL: "C", PATH: withSbin(), ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new VireoError(`${program}: no such program`);
  }
}

async function* lines(text: ReadableStream<string>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of text) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}
