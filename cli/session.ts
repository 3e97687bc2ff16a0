/**
 * A machine on this process's standard input and output.
 *
 * @module
 */
import { VireoError } from "../ffi/errno.ts";
import type { ResolvedConfig } from "../vmm/config/resolve.ts";
import { ConsoleTail } from "./console_tail.ts";
import { ExecStream } from "./exec.ts";
import { ExecWatch } from "./exec_watch.ts";
import { Machine } from "../vmm/machine.ts";
import type { MachineEnd } from "../vmm/messages.ts";
import type { StepCounts } from "../vmm/refused.ts";
import { Terminal } from "./terminal.ts";

/** Signals that end the machine, and the exit status they give. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** The exit status after `--timeout`, as of timeout(1). */
const TIMED_OUT = 124;

/** What a session shows, and how long it lasts. */
export interface SessionOptions {
  /** Nothing but what the shell and its commands print. */
  quiet?: boolean;
  /** At the end, what the VMM did beside: instructions stepped past. */
  verbose?: boolean;
  /** A line for the user before the start. */
  note?: string;
  /** Commands are run: their output and status are the session's. */
  exec?: boolean;
  /** Seconds from the start after which it ends; default: none. */
  timeout?: number;
}

/** One machine on this process's standard streams. */
export class Session {
  readonly #quiet: boolean;
  readonly #exec: boolean;
  readonly #verbose: boolean;
  readonly #note: string | undefined;
  readonly #stream: ExecStream;
  readonly #tail = new ConsoleTail();
  readonly #timeout: number | undefined;
  #watch: ExecWatch | undefined;
  #timedOut = false;
  /** What the guest did instead of ever running the commands. */
  #givenUp: string | undefined;

  /** A session for one boot; `nonce` as on the kernel command line. */
  constructor(nonce: string, options: SessionOptions = {}) {
    this.#quiet = options.quiet ?? false;
    this.#exec = options.exec ?? false;
    this.#verbose = options.verbose ?? false;
    this.#note = options.note;
    this.#timeout = options.timeout;
    const log = (bytes: Uint8Array) => {
      if (!this.#quiet) writeAll(Deno.stderr, bytes);
    };
    const output = (bytes: Uint8Array) => writeAll(Deno.stdout, bytes);
    this.#stream = new ExecStream(nonce, this.#exec ? log : output, output);
  }

  /**
   * Runs a machine and returns the exit status.
   *
   * @throws {VireoError} when the machine can't be made
   */
  async run(config: ResolvedConfig): Promise<number> {
    await using machine = await Machine.fromResolved(config, {
      onOutput: (bytes) => this.#heard(bytes),
      onLog: (message) => console.error(`vireo: ${message}`),
      ...(this.#exec && { onHalted: () => this.#giveUp(machine, "halted") }),
    });
    if (this.#note && !this.#quiet) console.error(`vireo: ${this.#note}`);
    let signalled: number | undefined;
    using stack = new DisposableStack();
    for (const [name, status] of Object.entries(SIGNALS)) {
      const stop = () => {
        signalled = status;
        machine.stop();
      };
      Deno.addSignalListener(name as Deno.Signal, stop);
      stack.defer(() => Deno.removeSignalListener(name as Deno.Signal, stop));
    }
    if (!this.#exec && config.virtioConsole) followSize(machine, stack);
    if (!this.#exec) {
      const terminal = stack.use(new Terminal());
      terminal.feed({
        input: (bytes) => machine.input(bytes),
        quit: () => void machine.stop(),
        say: (text) => console.error(`\r\nvireo: ${text}\r`),
      });
    }
    this.#limit(machine, config, stack);
    machine.start();
    const end = await machine.wait();
    stack.dispose();
    this.#stream.flush();
    if (this.#verbose && end.stepped_past) sayStepped(end.stepped_past);
    return signalled ?? this.#exitStatus(end);
  }

  #heard(bytes: Uint8Array): void {
    this.#tail.push(bytes);
    this.#stream.push(bytes);
    this.#watch?.heard();
    // From here on, silence is the commands' own.
    if (this.#stream.began) this.#watch?.[Symbol.dispose]();
  }

  /** Ends the machine when its time is over, or all hope for its commands. */
  #limit(
    machine: Machine,
    { memory }: ResolvedConfig,
    stack: DisposableStack,
  ): void {
    if (this.#timeout !== undefined) {
      const timer = setTimeout(() => {
        this.#timedOut = true;
        machine.stop();
      }, this.#timeout * 1000);
      stack.defer(() => clearTimeout(timer));
    }
    if (!this.#exec) return;
    this.#watch = stack.use(
      new ExecWatch({
        tail: this.#tail,
        memory,
        giveUp: (did) => this.#giveUp(machine, did),
        say: (line) => console.error(`vireo: ${line}`),
      }),
    );
  }

  /** The guest won't run, or end, its commands: `did` says what it did. */
  #giveUp(machine: Machine, did: string): void {
    this.#givenUp ??= did;
    machine.stop();
  }

  /** With what the guest last said, where standard error has not had it. */
  #withTail(message: string): string {
    const shown = this.#exec && !this.#quiet && !this.#stream.began;
    if (shown) return message;
    const said = this.#tail.below(`${message}; it last said:`);
    const nothing = this.#quiet && this.#tail.lines().length === 0;
    return nothing ? `${said}; without --quiet there is its log` : said;
  }

  #exitStatus(end: MachineEnd): number {
    if (this.#timedOut) {
      const message = `--timeout: the guest has had its ${this.#timeout} s`;
      console.error(`vireo: ${this.#withTail(message)}`);
      return TIMED_OUT;
    }
    if (end.reason === "error" || end.reason === "triple-fault") {
      const { message = end.reason } = end;
      console.error(`vireo: ${this.#exec ? this.#withTail(message) : message}`);
      return this.#stream.status || 1;
    }
    if (!this.#exec) return 0;
    if (this.#stream.status !== undefined) return this.#stream.status;
    const did = this.#givenUp ?? `ended (${end.reason})`;
    const ended = `--exec: the guest ${did} before the commands`;
    if (this.#stream.began) throw new VireoError(`${ended} did`);
    const why =
      `${ended} ran; they need the prepared root image, --root busybox`;
    throw new VireoError(this.#withTail(why));
  }
}

/** Keeps the guest's terminal at the size of this one. */
function followSize(machine: Machine, stack: DisposableStack): void {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) return;
  const resize = () => {
    const { columns, rows } = Deno.consoleSize();
    machine.resize(columns, rows).catch(() => {}); // it may just have ended
  };
  Deno.addSignalListener("SIGWINCH", resize);
  stack.defer(() => Deno.removeSignalListener("SIGWINCH", resize));
  resize();
}

/** Only where KVM emulates guest kernel mode is there anything to say. */
function sayStepped(counts: StepCounts): void {
  const words = Object.entries(counts).sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`);
  console.error(`vireo: instructions stepped past: ${words.join(", ")}`);
}

/** Writes everything; a closed pipe is the reader's choice, not an error. */
function writeAll(
  stream: { writeSync(p: Uint8Array): number },
  bytes: Uint8Array,
): void {
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
