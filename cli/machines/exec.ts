/**
 * `vireo exec`: a command in the guest of a machine of another process.
 *
 * @module
 */
import { Alarm } from "../../ffi/alarm.ts";
import { VireoError } from "../../ffi/error.ts";
import type { SignalName } from "../../ffi/signal.ts";
import type { GuestProcess, TerminalSize } from "../../vmm/agent/mod.ts";
import { socketOf } from "../../vmm/controller/client.ts";
import { startCommand } from "../../vmm/controller/command.ts";
import { parseTimeout } from "../options.ts";
import { telling } from "./control.ts";
import {
  type Output,
  standardError,
  standardOutput,
} from "../streams/output.ts";
import { endBy, ended, endInOrder } from "../streams/signals.ts";
import { readInput, Terminal } from "../streams/terminal.ts";

/** The command line of `vireo exec`. */
export interface ExecCommandOptions {
  /** It gets a terminal. */
  tty?: boolean;
  /** `NAME=value`. */
  env: string[];
  /** The folder that it starts in. */
  cwd?: string;
  /** Seconds until it is given up. */
  timeout?: string;
}

/** The exit status when there is none of the command's, as of ssh(1). */
const FAILED = 255;
/** The exit status after `--timeout`, as of timeout(1). */
const TIMED_OUT = 124;
/** Input that is under way; then its source waits. */
const INPUT_MAX = 64 * 1024;
/** Of a terminal that nobody has. */
const NO_TERMINAL: TerminalSize = { rows: 24, columns: 80 };
/** Signals that the command gets, too. */
const PASSED_ON: SignalName[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"];

/**
 * Runs a command in the guest, with this process's standard streams.
 *
 * @param which the machine's name, process or control socket
 * @param words one is for the guest's shell, more are a program and its
 *   arguments; none is a shell
 * @returns its exit status; 255: there is none
 */
export async function exec(
  which: string,
  words: string[],
  options: ExecCommandOptions,
): Promise<number> {
  try {
    const seconds = parseTimeout(options.timeout);
    return await new Execution(which, words, options).run(seconds);
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    // What can't be printed is told at the end, or of nobody's interest.
    if (!standardOutput.failure) standardError.print(`vireo: ${error.message}`);
    return FAILED;
  }
}

/** One command, and this process's streams. */
class Execution {
  readonly #which: string;
  readonly #words: string[];
  readonly #options: ExecCommandOptions;
  readonly #tty: boolean;
  readonly #gone = new AbortController();
  #process: GuestProcess | undefined;
  #timedOut = false;
  #underway = 0; // bytes of input

  constructor(which: string, words: string[], options: ExecCommandOptions) {
    this.#which = which;
    this.#words = words;
    this.#options = options;
    const both = Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
    this.#tty = options.tty ?? (words.length === 0 && both);
  }

  /** To its end, or for so many seconds. */
  async run(seconds: number | undefined): Promise<number> {
    using stack = new DisposableStack();
    // What waits for a socket doesn't keep a program running.
    const running = setInterval(() => {}, 1 << 30);
    stack.defer(() => clearInterval(running));
    endInOrder();
    this.#passOnSignals(stack);
    if (seconds !== undefined) {
      stack.use(new Alarm(seconds * 1000, () => this.#timeOut()));
    }
    try {
      return await this.#run(stack);
    } catch (error) {
      if (!this.#timedOut) throw error;
      const why = `--timeout: the command has had its ${seconds} s`;
      standardError.print(`vireo: machine ${this.#which}: ${why}`);
      return TIMED_OUT;
    }
  }

  async #run(stack: DisposableStack): Promise<number> {
    const path = await socketOf(this.#which);
    const params = this.#params();
    const process = await telling(
      this.#which,
      () => startCommand(path, params, this.#gone.signal),
    );
    this.#process = process;
    const lost = (error: Error) => {
      standardOutput.failure ??= error;
      process.abandon(error);
    };
    standardOutput.onFailure = lost;
    if (this.#tty && Deno.stdin.isTerminal()) {
      this.#followSize(process, stack);
      this.#type(process, stack);
    } else {
      void this.#feed(process);
    }
    return await telling(this.#which, async () => {
      await Promise.all([
        pass(process.stdout, standardOutput),
        pass(process.stderr, standardError),
      ]);
      return (await process.status).code;
    });
  }

  #params() {
    const { env, cwd } = this.#options;
    const [first, ...more] = this.#words;
    const command = first === undefined
      ? this.#tty ? ["sh", "-i"] : ["sh"]
      : more.length === 0
      ? ["sh", "-c", first]
      : this.#words;
    const term = Deno.env.get("TERM");
    const own = this.#tty && term ? [`TERM=${term}`] : [];
    const variables = [...own, ...env];
    const terminal = this.#tty ? size() : undefined;
    return { command, cwd, terminal, env: variables };
  }

  #timeOut(): void {
    this.#timedOut = true;
    this.#giveUp(new VireoError("its time is over"));
  }

  #giveUp(error: VireoError): void {
    this.#gone.abort();
    this.#process?.abandon(error);
  }

  /** The first is the command's; a terminal has hung up with it. */
  #passOnSignals(stack: DisposableStack): void {
    for (const name of PASSED_ON) {
      const pass = () => {
        if (this.#process && !this.#tty) this.#process.kill(name);
        else this.#giveUp(new VireoError(`ended by ${name}`));
      };
      Deno.addSignalListener(name, pass);
      stack.defer(() => Deno.removeSignalListener(name, pass));
    }
  }

  #followSize(process: GuestProcess, stack: DisposableStack): void {
    const resize = () => process.resize(size());
    Deno.addSignalListener("SIGWINCH", resize);
    stack.defer(() => Deno.removeSignalListener("SIGWINCH", resize));
    resize(); // it may have changed since
  }

  #type(process: GuestProcess, stack: DisposableStack): void {
    const writer = process.stdin.getWriter();
    const terminal = new Terminal({
      input: (bytes) => {
        this.#underway += bytes.length;
        const taken = writer.write(bytes).catch(() => {}).then(() => {
          this.#underway -= bytes.length;
        });
        return this.#underway > INPUT_MAX ? taken : undefined;
      },
      quit: () => {
        this.#giveUp(new VireoError("Ctrl-A x: the command was given up"));
        endBy();
      },
      say: (text) => standardError.note(`\r\nvireo: ${text}\r`),
    }, true);
    stack.use(terminal);
    terminal.feed();
  }

  async #feed(process: GuestProcess): Promise<void> {
    const writer = process.stdin.getWriter();
    const over = () => writer.close().catch(() => {});
    for (;;) {
      const bytes = await readInput();
      if (bytes === undefined) return void over();
      await writer.write(bytes).catch(() => {});
      if (ended.aborted) return;
    }
  }
}

/** Waits while whoever reads it does. */
async function pass(
  stream: ReadableStream<Uint8Array>,
  output: Output,
): Promise<void> {
  for await (const bytes of stream) {
    output.write(bytes);
    if (output.full) await output.room();
  }
}

function size(): TerminalSize {
  try {
    return Deno.consoleSize();
  } catch {
    return NO_TERMINAL;
  }
}
