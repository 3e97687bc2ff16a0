/**
 * A machine on this process's standard input and output.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import type { ResolvedConfig } from "../vmm/config/resolve.ts";
import type { CrashDirOption } from "./crash_dir.ts";
import type { CrashKeeper } from "./crash_keeper.ts";
import { ConsoleTail } from "./streams/console_tail.ts";
import { ExecStream } from "./exec.ts";
import { load } from "./load.ts";
import { ExecWatch } from "./exec_watch.ts";
import type { GdbOption } from "./gdb_option.ts";
import { Machine } from "../vmm/machine.ts";
import type { ControlOptions, MachineOptions } from "../vmm/machine_options.ts";
import { type MonitorOptions, Monitors } from "./monitors.ts";
import type { MachineEnd } from "../vmm/messages.ts";
import type { StepCounts } from "../vmm/refused.ts";
import { isClosed, standardError, standardOutput } from "./streams/output.ts";
import { endBy, ended, endInOrder, printedSoon } from "./streams/signals.ts";
import {
  SNAPSHOT_SIGNAL,
  type SnapshotOptions,
  SnapshotTriggers,
} from "./snapshot/trigger.ts";
import { checkInput, Terminal } from "./streams/terminal.ts";

/** The exit status after `--timeout`, as of timeout(1). */
const TIMED_OUT = 124;

/** Pieces of input that wait for a guest; then their source does. */
const EARLY_INPUT = 64;

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
  /** When to save the machine, and where; default: never. */
  snapshots?: SnapshotOptions[];
  /** What other processes see of it; default: nothing. */
  control?: ControlOptions;
  /** Where crashes are kept; default: nowhere. */
  crashDir?: CrashDirOption;
  /** Where gdb can attach; default: nowhere. */
  gdb?: GdbOption;
  /** What watches it; default: nothing. */
  monitors?: MonitorOptions;
  /** Nobody sits there: without any input, its end says nothing. */
  detached?: boolean;
  /** Until it resolves, the guest gets no input; default: it may at once. */
  inputAfter?: Promise<void>;
  /** When the commands have ended, so does the machine, as it is. */
  endsWithCommands?: boolean;
}

/** What a session has to know of its machine. */
type Known = Pick<ResolvedConfig, "memory" | "virtioConsole">;
/** Makes a machine that tells what it does. */
type Maker = (hooks: MachineOptions) => Promise<Machine>;

/** One machine on this process's standard streams. */
export class Session {
  readonly #options: SessionOptions;
  readonly #stream: ExecStream;
  readonly #tail = new ConsoleTail();
  #watch: ExecWatch | undefined;
  #timedOut = false;
  /** What the guest did instead of ever running the commands. */
  #givenUp: string | undefined;
  #outputFailed = false;
  readonly #commandsEnded = Promise.withResolvers<void>();

  /** A session for one boot; `nonce` as on the kernel command line. */
  constructor(nonce: string, options: SessionOptions = {}) {
    this.#options = options;
    const log = (bytes: Uint8Array) => {
      if (!options.quiet) standardError.write(bytes);
    };
    const output = (bytes: Uint8Array) => standardOutput.write(bytes);
    this.#stream = new ExecStream(nonce, options.exec ? log : output, output);
  }

  /**
   * Runs the machine of `config` and returns the exit status.
   *
   * @throws {VireoError} when the machine can't be made
   */
  async run(config: ResolvedConfig): Promise<number> {
    const make: Maker = (hooks) => Machine.fromResolved(config, hooks);
    return await this.runMade(config, make);
  }

  /**
   * The same for a machine that is made in another way.
   *
   * @param config what is to be known of it
   * @param make makes it
   * @throws {VireoError} when the machine can't be made
   */
  async runMade(config: Known, make: Maker): Promise<number> {
    const { quiet, verbose, note, exec, control, detached = false } =
      this.#options;
    using triggers = new SnapshotTriggers(
      this.#options.snapshots ?? [],
      (line) => standardError.note(`vireo: ${line}`),
    );
    // Nobody sees that it has halted, and it would stay so for ever.
    const ends = exec || !(detached || Deno.stdin.isTerminal());
    if (!exec) checkInput();
    endInOrder(triggers.wantsSignal ? SNAPSHOT_SIGNAL : undefined);
    await using monitors = await this.#startMonitors();
    const crashes = await this.#crashes();
    await using machine = await make({
      signal: ended,
      onOutput: (bytes) => {
        triggers.heard(bytes);
        crashes?.heard(bytes);
        monitors.heard(bytes);
        return this.#heard(bytes);
      },
      onLog: (message) => standardError.note(`vireo: ${message}`),
      control,
      ...(crashes && { atEnd: (view, end) => crashes.atEnd(view, end) }),
      ...(ends && { onHalted: () => this.#giveUp(machine, "halted") }),
    });
    triggers.machine = machine;
    await crashes?.watch(machine);
    const input = inputOf(machine, this.#options.inputAfter);
    await monitors.watch(machine, input);
    await this.#openGdb(machine);
    if (note && !quiet) standardError.note(`vireo: ${note}`);
    const stop = () => void machine.stop();
    ended.addEventListener("abort", stop);
    this.#commandsEnded.promise.then(stop);
    standardOutput.onFailure = (error) => this.#failed(error, stop);
    using stack = new DisposableStack();
    if (!exec && config.virtioConsole) followSize(machine, stack);
    // First: what follows takes a moment, and nothing is printed before it.
    if (ended.aborted) stop();
    else machine.start();
    if (!exec) {
      const terminal = stack.use(
        new Terminal({
          input,
          quit: () => endBy(),
          say: (text) => standardError.note(`\r\nvireo: ${text}\r`),
        }, detached),
      );
      terminal.feed();
    }
    this.#limit(machine, config, stack);
    const end = await machine.wait();
    await crashes?.settled();
    this.#stream.flush();
    await printedSoon();
    stack.dispose(); // a slow reader has the rest later, and Ctrl-C ends that
    if (verbose && end.stepped_past) sayStepped(end.stepped_past);
    return this.#exitStatus(end);
  }

  async #crashes(): Promise<CrashKeeper | undefined> {
    const { crashDir } = this.#options;
    if (crashDir === undefined) return undefined;
    const { CrashKeeper }: typeof import("./crash_keeper.ts") = await load(
      new URL("./crash_keeper.ts", import.meta.url),
    );
    const say = (line: string) => standardError.note(`vireo: ${line}`);
    return new CrashKeeper(crashDir, say);
  }

  /** Lets gdb attach, and says where; perhaps the guest waits for it. */
  async #openGdb(machine: Machine): Promise<void> {
    const { gdb } = this.#options;
    if (gdb === undefined) return;
    const say = (line: string) => standardError.note(`vireo: ${line}`);
    const { target } = await machine.gdb({ address: gdb.address, onLog: say });
    say(`gdb: target remote ${target}`);
    if (gdb.wait) await machine.pause();
  }

  async #startMonitors(): Promise<Monitors> {
    const { monitors = { isPublic: false }, quiet } = this.#options;
    return await Monitors.start(monitors, (line) => {
      if (!quiet) standardError.note(`vireo: ${line}`);
    });
  }

  /** Passes on what the guest prints; a promise, when that takes its time. */
  #heard(bytes: Uint8Array): Promise<unknown> | undefined {
    this.#tail.push(bytes);
    this.#stream.push(bytes);
    this.#watch?.heard();
    // From here on, silence is the commands' own.
    if (this.#stream.began) this.#watch?.[Symbol.dispose]();
    if (this.#options.endsWithCommands && this.#stream.status !== undefined) {
      this.#commandsEnded.resolve();
    }
    if (!isHeld()) return undefined;
    return Promise.all([standardOutput.room(), standardError.room()]);
  }

  /**
   * Commands whose output is lost have nothing to run for, as in a shell. A
   * machine goes on; that nobody reads any more is the reader's choice.
   */
  #failed(error: Error, stop: () => void): void {
    const { exec } = this.#options;
    const closed = isClosed(error);
    const first = !this.#outputFailed;
    this.#outputFailed = true;
    if (exec && closed) endBy("SIGPIPE");
    if (first && !closed) {
      const then = exec ? "" : "; what the guest prints is lost";
      standardError.note(`vireo: ${error.message}${then}`);
    }
    if (exec) stop();
  }

  /** Ends the machine when its time is over, or all hope for its commands. */
  #limit(
    machine: Machine,
    { memory }: Known,
    stack: DisposableStack,
  ): void {
    const { timeout, exec, quiet } = this.#options;
    if (timeout !== undefined) {
      const timer = setTimeout(() => {
        this.#timedOut = true;
        endBy(); // whoever reads slowly has no more time, either
      }, timeout * 1000);
      stack.defer(() => clearTimeout(timer));
    }
    if (!exec) return;
    this.#watch = stack.use(
      new ExecWatch({
        tail: this.#tail,
        memory,
        quiet,
        giveUp: (did) => this.#giveUp(machine, did),
        held: () => isHeld() || machine.state === "paused",
        say: (line) => standardError.note(`vireo: ${line}`),
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
    const { exec, quiet } = this.#options;
    const shown = exec && !quiet && !this.#stream.began;
    if (shown) return message;
    const said = this.#tail.below(`${message}; it last said:`);
    const nothing = quiet && this.#tail.lines().length === 0;
    return nothing ? `${said}; without --quiet there is its log` : said;
  }

  #exitStatus(end: MachineEnd): number {
    const { exec, timeout } = this.#options;
    if (this.#timedOut) {
      const message = `--timeout: the guest has had its ${timeout} s`;
      standardError.print(`vireo: ${this.#withTail(message)}`);
      return TIMED_OUT;
    }
    if (end.reason === "error" || end.reason === "triple-fault") {
      const { message = end.reason } = end;
      standardError.print(`vireo: ${exec ? this.#withTail(message) : message}`);
      return this.#stream.status || 1;
    }
    if (!exec || ended.aborted) return 0;
    if (this.#outputFailed) return 1;
    if (this.#stream.status !== undefined) return this.#stream.status;
    const did = this.#givenUp ?? `ended (${end.reason})`;
    const early = `--exec: the guest ${did} before the commands`;
    if (this.#stream.began) throw new VireoError(`${early} did`);
    const why =
      `${early} ran; they need the prepared root image, --root busybox`;
    throw new VireoError(this.#withTail(why));
  }
}

/** What is typed while the guest must not have it waits here. */
function inputOf(
  machine: Machine,
  after: Promise<void> | undefined,
): (bytes: Uint8Array) => Promise<void> | undefined {
  const early: Uint8Array[] = [];
  let open = after === undefined;
  after?.then(() => {
    open = true;
    for (const bytes of early) machine.input(bytes);
  });
  return (bytes) => {
    if (open) return machine.input(bytes);
    early.push(bytes);
    return early.length > EARLY_INPUT ? after : undefined;
  };
}

/** The guest waits, because its output does. */
function isHeld(): boolean {
  return standardOutput.full || standardError.full;
}

/** Keeps the guest's terminal at the size of this one. */
function followSize(machine: Machine, stack: DisposableStack): void {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) return;
  const resize = async () => {
    try {
      const { columns, rows } = Deno.consoleSize();
      await machine.resize(columns, rows);
    } catch {
      // The terminal has gone, or the machine has just ended.
    }
  };
  Deno.addSignalListener("SIGWINCH", resize);
  stack.defer(() => Deno.removeSignalListener("SIGWINCH", resize));
  resize();
}

/** Only where KVM emulates guest kernel mode is there anything to say. */
function sayStepped(counts: StepCounts): void {
  const words = Object.entries(counts).sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`);
  standardError.print(`vireo: instructions stepped past: ${words.join(", ")}`);
}
