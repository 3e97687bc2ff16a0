/**
 * `bin/firecracker`, and `vireo api`: a process with one machine, which clients
 * of Firecracker make and steer through a socket.
 *
 * Only what it takes to listen is loaded here; the rest comes with the first
 * request that needs it.
 *
 * @module
 */
import { Alarm } from "../ffi/alarm.ts";
import { API_FLAGS } from "./flag_table.ts";
import { FlagError, type Flags, parseFlags } from "./flags.ts";
import { type Answerer, ApiServer } from "./http/connection.ts";
import { BODY_MAX } from "./http/parser.ts";
import { type Level, levelMeant, LEVELS, Log } from "./log.ts";
import { Console } from "./console.ts";
import {
  FIRECRACKER_VERSION,
  SNAPSHOT_VERSION_TEXT,
  VERSION_TEXT,
} from "./version.ts";

type Serving = typeof import("./serving.ts");

// No literal in `import()`: that is read at the start, needed or not.
const SERVING = new URL("./serving.ts", import.meta.url).href;

const SIGNALS = new URL("./signals.ts", import.meta.url).href;

const PREPARE = new URL("./prepare.ts", import.meta.url).href;

const BAD_CONFIGURATION = 152;
const WRONG_ARGUMENTS = 153;
const ROWS = API_FLAGS.map(([flags, about]) =>
  `  ${flags.padEnd(36)} ${about}`
);
const HELP = `Firecracker v${FIRECRACKER_VERSION}, by Vireo\n\n${
  ROWS.join("\n")
}\n`;

/** Runs the process of `bin/firecracker`. */
export async function api(args: readonly string[]): Promise<never> {
  const console = new Console();
  let flags: Flags;
  try {
    flags = parseFlags(args);
  } catch (error) {
    const { message, exit } = error instanceof FlagError
      ? error
      : { message: String(error), exit: WRONG_ARGUMENTS };
    return await console.fail(message, exit);
  }
  if (flags.only === "help") return await console.tell(HELP);
  if (flags.only === "version") return await console.tell(VERSION_TEXT);
  if (flags.only === "snapshot-version") {
    return await console.tell(SNAPSHOT_VERSION_TEXT);
  }
  if (flags.describeSnapshot !== undefined) {
    return await describeSnapshot(flags.describeSnapshot, console);
  }
  const log = new Log(flags.id, (line) => console.line(line));
  nameProcess();
  const metricsSink = await outputs(flags, log, console);
  const state = { flags, log, console, metricsSink };
  const loading = { serving: undefined as Promise<Serving> | undefined };
  const serving = () => loading.serving ??= import(SERVING);
  log.info(`Running Firecracker v${FIRECRACKER_VERSION}`);
  const fromFile = Promise.withResolvers<void>();
  if (!flags.noApi) {
    const answer: Answerer = async (request, first) => {
      const { answer } = await serving();
      await fromFile.promise; // what the files say comes first
      return await answer(state, request, first);
    };
    const server = new ApiServer(
      await listen(flags, log, console),
      flags.bodyMax ?? BODY_MAX,
      answer,
    );
    log.info(
      `Listening on API socket (${JSON.stringify(flags.apiSock)}).`,
      "fc_api",
    );
    log.info("API server started.", "fc_api");
    void server.run();
  }
  if (flags.configFile !== undefined || flags.metadata !== undefined) {
    await (await serving()).startFromFile(state);
  }
  fromFile.resolve();
  new Alarm(IDLE, () => void settleSignals());
  return await new Promise<never>(() => {}); // until the machine ends
}

/** Deno takes SIGUSR1 half a second after its start, in milliseconds. */
const IDLE = 550;

async function settleSignals(): Promise<void> {
  const { noDebugger }: typeof import("./signals.ts") = await import(SIGNALS);
  noDebugger();
}

/** Tells the version of a state file. */
async function describeSnapshot(
  path: string,
  console: Console,
): Promise<never> {
  try {
    const { format } = JSON.parse(Deno.readTextFileSync(path));
    if (Number.isInteger(format)) {
      return await console.tell(SNAPSHOT_VERSION_TEXT);
    }
    throw new Error("it is no state of Vireo's");
  } catch (error) {
    const why = `Unable to describe the snapshot ${path}: ${error}`;
    return await console.fail(why.split("\n")[0]!, 1);
  }
}

/** Sets the log as the command line has it; where metrics go. */
async function outputs(
  flags: Flags,
  log: Log,
  console: Console,
): Promise<((line: string) => boolean) | undefined> {
  const level = flags.level === undefined ? undefined : levelMeant(flags.level);
  if (level !== undefined && !LEVELS.includes(level as Level)) {
    await console.fail(`Invalid log level: ${flags.level}`, BAD_CONFIGURATION);
  }
  log.set({
    level: level as Level | undefined,
    module: flags.module,
    showLevel: flags.showLevel,
    showOrigin: flags.showLogOrigin,
  });
  const { logPath, metricsPath } = flags;
  if (logPath === undefined && metricsPath === undefined) return undefined;
  const { prepare }: typeof import("./prepare.ts") = await import(PREPARE);
  try {
    return prepare(flags, log);
  } catch (error) {
    const { message } = error as Error;
    log.error(message);
    return await console.fail(message, 1);
  }
}

async function listen(
  { apiSock: path, apiSockMode }: Flags,
  log: Log,
  console: Console,
): Promise<Deno.UnixListener> {
  try {
    const listener = Deno.listen({ transport: "unix", path });
    if (apiSockMode !== undefined) Deno.chmodSync(path, apiSockMode);
    return listener;
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse
      ? "Check that it is not already used."
      : String((error as Error).message);
    const text = `Failed to open the API socket at: ${path}. ${why}`;
    log.error(text);
    return await console.fail(text, 1);
  }
}

/** Programs look for processes of this name. */
function nameProcess(): void {
  try {
    Deno.writeTextFileSync("/proc/self/comm", "firecracker");
  } catch {
    // Without /proc it keeps the runtime's.
  }
}

if (import.meta.main) await api(Deno.args);
