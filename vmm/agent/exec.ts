/**
 * A command in a guest from its start to its end, with all that it prints.
 *
 * @module
 */
import { Alarm } from "../../ffi/alarm.ts";
import { VireoError } from "../../ffi/error.ts";
import type { GuestProcess, GuestStatus } from "./process.ts";

/** A terminal's size, in characters. */
export interface TerminalSize {
  /** Its height, up to 65,535. */
  rows: number;
  /** Its width, up to 65,535. */
  columns: number;
}

/** How a command is started. */
export interface SpawnOptions {
  /** Variables besides init's own, or in their place. */
  env?: Record<string, string>;
  /** The folder that it starts in. Default `/root`. */
  cwd?: string;
  /** It gets a terminal of this size. */
  terminal?: TerminalSize;
  /** Gives it up: it is killed in the guest. */
  signal?: AbortSignal;
  /**
   * Milliseconds until it is given up, and killed in the guest; that of the
   * guest's boot is a part of it. Default: it may run as long as it wants, and
   * the agent has two minutes to answer at first.
   */
  timeout?: number;
}

/** How a command is run. */
export interface ExecOptions extends SpawnOptions {
  /** Its standard input. Default: it is empty. */
  stdin?: string | Uint8Array | ReadableStream<Uint8Array>;
  /**
   * Bytes that it may print on standard output and error together: with one
   * more it is given up, and killed. Default 64 MiB.
   */
  maxOutput?: number;
}

/** What a command has printed, and how it ended. */
export class ExecOutput implements GuestStatus {
  readonly success: boolean;
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** What it printed on standard output. */
  readonly stdout: Uint8Array<ArrayBuffer>;
  /** What it printed on standard error. */
  readonly stderr: Uint8Array<ArrayBuffer>;

  /** @internal */
  constructor(
    status: GuestStatus,
    stdout: Uint8Array<ArrayBuffer>,
    stderr: Uint8Array<ArrayBuffer>,
  ) {
    this.success = status.success;
    this.code = status.code;
    this.signal = status.signal;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /** Standard output as text. */
  text(): string {
    return new TextDecoder().decode(this.stdout);
  }

  /** Standard error as text. */
  errorText(): string {
    return new TextDecoder().decode(this.stderr);
  }
}

/** 64 MiB. */
const MAX_OUTPUT = 64 << 20;

/** The most that a timer takes. */
const LONGEST = 2 ** 31 - 1;

/** @throws {VireoError} what is wrong with them */
export function checkOptions(
  { timeout, terminal, maxOutput = 0 }: ExecOptions,
): void {
  if (timeout !== undefined && !(timeout > 0 && timeout <= LONGEST)) {
    throw new VireoError(
      `exec: timeout: ${timeout} is not above 0 and at most ${LONGEST} ms`,
    );
  }
  if (!(maxOutput >= 0)) {
    throw new VireoError(`exec: maxOutput: ${maxOutput} is no number of bytes`);
  }
  if (terminal) checkSize(terminal);
}

/** @throws {VireoError} no terminal has that size */
export function checkSize({ rows, columns }: TerminalSize): void {
  for (const length of [rows, columns]) {
    if (Number.isInteger(length) && length >= 0 && length <= 0xffff) continue;
    throw new VireoError(`exec: ${columns} x ${rows} is no terminal's size`);
  }
}

/** Gives a process its input, and takes what it prints. */
export async function outputOf(
  process: GuestProcess,
  { stdin = "", maxOutput = MAX_OUTPUT }: ExecOptions,
): Promise<ExecOutput> {
  let left = maxOutput;
  const collect = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of stream) {
      left -= chunk.length;
      if (left < 0) {
        const why = `exec: it prints more than ${maxOutput} bytes`;
        process.abandon(new VireoError(why));
        break;
      }
      chunks.push(chunk);
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  };
  // A command may end without having read it: that is no failure.
  const ended = new AbortController();
  const end = () => ended.abort();
  process.status.then(end, end);
  streamOf(stdin).pipeTo(process.stdin, { signal: ended.signal })
    .catch((error) => process.abandon(error));
  const all = [collect(process.stdout), collect(process.stderr)] as const;
  const [status, stdout, stderr] = await Promise.all([process.status, ...all]);
  return new ExecOutput(status, stdout, stderr);
}

function streamOf(
  input: string | Uint8Array | ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> {
  if (input instanceof ReadableStream) return input;
  const bytes = typeof input === "string"
    ? new TextEncoder().encode(input)
    : input;
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}

/** Calls `give` when the time is over, or the signal says so. */
export function limits(
  { signal, timeout }: SpawnOptions,
  give: (error: unknown) => void,
): Disposable {
  using stack = new DisposableStack();
  if (timeout !== undefined) {
    const late = () =>
      give(new VireoError(`exec: the command has had its ${timeout} ms`));
    stack.use(new Alarm(timeout, late));
  }
  if (signal) {
    const abort = () => give(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    stack.defer(() => signal.removeEventListener("abort", abort));
  }
  return stack.move();
}
