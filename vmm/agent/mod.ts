/**
 * Commands in a guest whose init has an agent. Loaded when there is one.
 *
 * @module
 */
import type { AgentEnd } from "../../devices/virtio/console/console.ts";
import { VireoError } from "../../ffi/error.ts";
import { closeFd } from "../../ffi/file.ts";
import { socketPair } from "../../ffi/unix_socket.ts";
import {
  checkOptions,
  type ExecOptions,
  type ExecOutput,
  limits,
  outputOf,
  type SpawnOptions,
} from "./exec.ts";
import { GuestProcess } from "./process.ts";
import { encodeWords, newNumber } from "./protocol.ts";
import { Session } from "./session.ts";

export type {
  ExecOptions,
  ExecOutput,
  SpawnOptions,
  TerminalSize,
} from "./exec.ts";
export type { GuestProcess, GuestStatus } from "./process.ts";

/** How long an agent may take for its first answer, in milliseconds. */
const ANSWER_TIME = 120_000;

/** A machine, as far as its agent is concerned. */
export interface AgentMachine {
  /** `Machine.command`. */
  command(device: string, command: unknown): Promise<unknown>;
  /** `Machine.wait`. */
  wait(): Promise<unknown>;
}

/** The agent of one machine. */
export class Agent {
  readonly #machine: AgentMachine;
  #session: Promise<Session> | undefined;

  /** That of `machine`, which may not have begun. */
  constructor(machine: AgentMachine) {
    this.#machine = machine;
  }

  /**
   * Starts a command. A text is for the guest's shell, a list is a program and
   * its arguments.
   *
   * @throws {VireoError} there is no agent, or it doesn't answer
   */
  async spawn(
    command: string | readonly string[],
    options: SpawnOptions = {},
  ): Promise<GuestProcess> {
    checkOptions(options);
    const words = encodeWords({
      words: typeof command === "string" ? ["sh", "-c", command] : command,
      ...options,
    });
    options.signal?.throwIfAborted();
    using undo = new DisposableStack(); // unless it runs
    const given = new AbortController();
    undo.use(limits(options, (error) => given.abort(error)));
    const session = await this.#greeted(given.signal, options);
    const process = new GuestProcess(session);
    const channel = await session.open(process, given.signal);
    process.begin(channel, words, options.terminal);
    const abandon = () => process.abandon(given.signal.reason);
    if (given.signal.aborted) abandon();
    given.signal.addEventListener("abort", abandon);
    const limit = undo.move();
    const end = () => limit.dispose();
    process.status.then(end, end);
    return process;
  }

  /**
   * Runs a command to its end.
   *
   * @throws {VireoError} as {@linkcode spawn}; it took too long, or printed too
   *   much; the machine has ended
   */
  async exec(
    command: string | readonly string[],
    options: ExecOptions = {},
  ): Promise<ExecOutput> {
    return await outputOf(await this.spawn(command, options), options);
  }

  /** The session, whose guest has answered. */
  async #greeted(
    given: AbortSignal,
    { timeout }: SpawnOptions,
  ): Promise<Session> {
    const late = Promise.withResolvers<never>();
    const why = "exec: the guest's agent does not answer";
    using stack = new DisposableStack();
    if (timeout === undefined) {
      const alarm = limits(
        { timeout: ANSWER_TIME },
        () => late.reject(new VireoError(`${why} for ${ANSWER_TIME / 1000} s`)),
      );
      stack.use(alarm);
    }
    const abort = () => late.reject(given.reason);
    if (given.aborted) abort();
    given.addEventListener("abort", abort);
    stack.defer(() => given.removeEventListener("abort", abort));
    const made = (async () => {
      const session = await this.#current();
      await session.greeted;
      return session;
    })();
    made.catch(() => {}); // when it is late, nobody hears of it
    return await Promise.race([made, late.promise]);
  }

  /** The session there is, or a new one when it is over. */
  #current(): Promise<Session> {
    const before = this.#session ?? Promise.resolve(undefined);
    return this.#session = before.catch(() => undefined).then((session) =>
      session && !session.over ? session : this.#connect()
    );
  }

  async #connect(): Promise<Session> {
    const [ours, theirs] = socketPair();
    try {
      const command: AgentEnd = { type: "agent", fd: theirs };
      await this.#machine.command("console", command);
    } catch (error) {
      // A device worker that ends may still be at it.
      const close = () => [ours, theirs].forEach(closeFd);
      if (/has ended/.test(`${error}`)) this.#machine.wait().then(close, close);
      else close();
      const why = error instanceof Error ? error.message : String(error);
      throw new VireoError(
        `exec: ${why}; it takes "console": { "agent": true }, or --agent`,
      );
    }
    closeFd(theirs);
    return new Session(ours, newNumber());
  }
}
