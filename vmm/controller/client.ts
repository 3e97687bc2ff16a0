/**
 * The other end of the control socket: finds machines, and asks them.
 *
 * @module
 */
import { comesInTime } from "../../ffi/alarm.ts";
import { VireoError } from "../../ffi/error.ts";
import { didYouMean } from "../devices/words.ts";
import type { MachineDescription } from "./controller.ts";
import { controlSockets } from "./folder.ts";
import type { MethodName } from "./requests.ts";

/** The longest answer in bytes; a command line is the longest part of it. */
const ANSWER_MAX = 4 * 1024 * 1024;
/** How long a machine has to say what it is, in milliseconds. */
const DESCRIBE_TIME = 2000;
/** So many times as long, if its process isn't stopped: its host is busy. */
const BUSY_TIMES = 15;

/** A machine that has a control socket. */
export interface FoundMachine {
  /** Its process; of further machines of it, with a number: `71.2`. */
  id: string;
  /** Its control socket. */
  path: string;
  /** What it says; undefined: nothing, its process may be stopped. */
  description?: MachineDescription;
}

/** A machine's process is there, but says nothing: it may be stopped. */
class NoAnswer extends VireoError {}

/**
 * Asks a machine.
 *
 * @param path its control socket
 * @param time milliseconds to wait if its process is stopped, or some times as
 *   long; default: as long as it takes
 * @throws {VireoError} what it objects, or that it doesn't answer
 */
export async function ask(
  path: string,
  method: MethodName,
  params: object = {},
  time?: number,
): Promise<unknown> {
  using stack = new DisposableStack();
  const connection = await connect(path);
  stack.defer(() => connection.close());
  const asked = exchange(connection, JSON.stringify({ method, params }));
  if (time === undefined) return await asked;
  asked.catch(() => {}); // when it is late, nobody hears of it
  for (let times = 1; !await comesInTime(asked, time); times++) {
    if (times < BUSY_TIMES && !isStopped(path)) continue;
    throw new NoAnswer(`"${path}": no answer for ${times * time / 1000} s`);
  }
  return await asked;
}

/** Whether a machine's process is, by the state of proc(5). */
function isStopped(path: string): boolean {
  const process = parseInt(path.slice(path.lastIndexOf("/") + 1));
  try {
    const stat = Deno.readTextFileSync(`/proc/${process}/stat`);
    return stat[stat.lastIndexOf(")") + 2] === "T";
  } catch {
    return false; // it has ended, or there is no /proc
  }
}

async function exchange(to: Deno.UnixConn, line: string): Promise<unknown> {
  let answer: string;
  try {
    await writeAll(to, new TextEncoder().encode(`${line}\n`));
    answer = await readLine(to);
  } catch (error) {
    if (error instanceof VireoError) throw error;
    throw new VireoError("the machine has ended");
  }
  return resultIn(answer);
}

async function connect(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new VireoError(`"${path}": no machine listens here`);
  }
}

async function writeAll(to: Deno.UnixConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await to.write(bytes.subarray(done));
  }
}

async function readLine(from: Deno.UnixConn): Promise<string> {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(16 * 1024);
  let line = "";
  while (!line.endsWith("\n")) {
    const count = await from.read(chunk);
    if (count === null) throw new VireoError("the machine has ended");
    line += decoder.decode(chunk.subarray(0, count), { stream: true });
    if (line.length > ANSWER_MAX) throw new VireoError("its answer is endless");
  }
  return line;
}

/**
 * What an answer says.
 *
 * @throws {VireoError} what the machine objects, or that it is no machine
 */
export function resultIn(line: string): unknown {
  let answer: { result?: unknown; error?: unknown };
  try {
    answer = JSON.parse(line);
  } catch {
    throw new VireoError("what answers is no machine");
  }
  if (answer.error === undefined) return answer.result;
  throw new VireoError(`${answer.error}`);
}

/**
 * This user's machines, by age.
 *
 * @throws {VireoError} others can get at their sockets
 */
export async function machines(): Promise<FoundMachine[]> {
  const found = [...controlSockets()].map(([id, path]) => look(id, path));
  const machines = (await Promise.all(found))
    .filter((machine) => machine !== undefined);
  const age = ({ description }: FoundMachine) => description?.uptime ?? 0;
  return machines.toSorted((a, b) => age(b) - age(a));
}

/** Undefined: it isn't there any more. */
async function look(
  id: string,
  path: string,
): Promise<FoundMachine | undefined> {
  try {
    const answer = await ask(path, "describe", {}, DESCRIBE_TIME);
    return { id, path, description: answer as MachineDescription };
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    return error instanceof NoAnswer ? { id, path } : undefined;
  }
}

/**
 * The control socket of a machine.
 *
 * @param which its name, its process, or its socket's path, which has a `/`
 * @throws {VireoError} there is none, or more than one
 */
export async function socketOf(which: string): Promise<string> {
  if (which.includes("/")) return which;
  const all = await machines();
  const found = all.filter(({ id, description }) =>
    id === which || description?.name === which
  );
  if (found.length === 1) return found[0]!.path;
  if (found.length > 1) {
    const ids = found.map(({ id }) => id).join(", ");
    throw new VireoError(`${which}: ${found.length} machines: ${ids}`);
  }
  const names = all.flatMap(({ id, description }) => description?.name ?? id);
  throw new VireoError(
    `${which}: no such machine; "vireo ps" lists them` +
      didYouMean(which, names),
  );
}
