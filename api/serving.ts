/**
 * What an API process does once it is asked something: loaded then.
 *
 * @module
 */
import { errorText } from "../ffi/error.ts";
import { answerTo } from "./endpoints/dispatch.ts";
import type { Api } from "./endpoints/endpoint.ts";
import type { Flags } from "./flags.ts";
import type { Answer } from "./http/answer.ts";
import { BODY_MAX, type HttpRequest } from "./http/parser.ts";
import type { Console } from "./console.ts";
import { feedStdin } from "./stdin.ts";
import type { Log } from "./log.ts";
import { type MetricsSink, Recorder } from "./metrics.ts";
import { MicroVm } from "./microvm/microvm.ts";
import { openByteOutput } from "./outputs.ts";
import { logTo } from "./prepare.ts";
import type { MachineEnd } from "../vmm/messages.ts";
import { isGuestsWish } from "../vmm/messages.ts";

/** What the process has. */
export interface Process {
  readonly flags: Flags;
  readonly log: Log;
  readonly console: Console;
  /** Where metrics go, if the command line says so. */
  readonly metricsSink: MetricsSink | undefined;
}

const FLUSH_INTERVAL = 60_000;
const HUNG_UP = 156;

let made: Api | undefined;

/** The machine, which is made with the first request. */
function apiOf(process: Process): Api {
  return made ??= makeApi(process);
}

function makeApi({ flags, log, console, metricsSink }: Process): Api {
  const metrics = new Recorder();
  if (metricsSink !== undefined) metrics.to(metricsSink, {});
  const flush = async () => {
    const missed = log.missed + console.missed;
    metrics.flush(missed, await vm.deviceMetrics());
  };
  const end = async (code: number) => {
    log.info("Vmm is stopping.");
    await flush();
    if (code === 0) log.info("Firecracker exiting successfully. exit_code=0");
    else log.error(`Firecracker exiting with error. exit_code=${code}`);
    await console.exit(code);
  };
  const serial: { write?: (bytes: Uint8Array) => void } = {};
  const vm = new MicroVm({
    id: flags.id,
    log,
    pci: flags.pci,
    metadataMax: flags.mmdsMax ?? BODY_MAX,
    output(bytes, path) {
      if (path === undefined) return console.write(bytes);
      serial.write ??= openByteOutput(path);
      serial.write(bytes);
    },
    started(machine) {
      void flush();
      setInterval(flush, FLUSH_INTERVAL);
      const path = vm.draft.serial?.serial_out_path;
      if (path === undefined) feedStdin(machine);
    },
    booted(milliseconds) {
      if (!flags.bootTimer) return;
      const took = Math.round(milliseconds * 1000);
      log.info(`Guest-boot-time = ${took} us ${Math.round(milliseconds)} ms`);
    },
    ended(machineEnd) {
      if (machineEnd.message) log.error(machineEnd.message);
      void end(exitOf(machineEnd));
    },
  });
  Deno.addSignalListener("SIGHUP", () => void end(HUNG_UP));
  return {
    vm,
    metrics,
    setLog({ path, ...settings }) {
      if (path !== undefined) logTo(log, path);
      log.set(settings);
    },
  };
}

/** What the process ends with when its machine has. */
function exitOf(end: MachineEnd): number {
  return isGuestsWish(end) || end.reason === "stopped" ? 0 : 1;
}

/** Answers one request. Never throws. */
export async function answer(
  process: Process,
  request: HttpRequest,
): Promise<Answer> {
  const { log, console } = process;
  const fatal = () => void console.exit(1);
  try {
    return await answerTo(apiOf(process), log, request, fatal);
  } catch (error) {
    // A mistake of Vireo's own: the client hears of it, and the guest goes on.
    const text = errorText(error);
    log.error(text);
    const body = JSON.stringify({ fault_message: `Internal error: ${text}` });
    return { status: 400, body };
  }
}

/** Starts the machine that a file describes. */
export async function startFromFile(process: Process): Promise<void> {
  const { loadFile }: typeof import("./config_file.ts") = await import(
    CONFIG_FILE
  );
  await loadFile(apiOf(process), process);
}

const CONFIG_FILE = new URL("./config_file.ts", import.meta.url).href;
