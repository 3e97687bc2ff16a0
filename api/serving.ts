/**
 * What an API process does once it is asked something: loaded then.
 *
 * @module
 */
import { errorText } from "../ffi/error.ts";
import { answerTo } from "./endpoints/dispatch.ts";
import type { AnotherApi, Api } from "./endpoints/endpoint.ts";
import { strict } from "./endpoints/own.ts";
import { TABLE } from "./endpoints/table.ts";
import type { Flags } from "./flags.ts";
import type { Answer } from "./http/answer.ts";
import { ApiServer } from "./http/connection.ts";
import { BODY_MAX, type HttpRequest } from "./http/parser.ts";
import type { Console } from "./console.ts";
import { feedStdin } from "./stdin.ts";
import type { Log } from "./log.ts";
import { type MetricsSink, Recorder } from "./metrics.ts";
import { MicroVm } from "./microvm/microvm.ts";
import { openByteOutput } from "./outputs.ts";
import { Peers } from "./peers.ts";
import { logTo } from "./prepare.ts";
import { onSignals } from "./signals.ts";
import { nameVcpus } from "./thread_names.ts";
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

let made: Api | undefined;

/** The machine, which is made with the first request. */
function apiOf(process: Process): Api {
  return made ??= makeApi(process);
}

function makeApi(process: Process): Api {
  const { log, console, metricsSink } = process;
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
  const vm = new MicroVm({
    ...surroundings(process, (bytes) => console.write(bytes)),
    started(machine) {
      void flush();
      setInterval(flush, FLUSH_INTERVAL);
      void nameVcpus(machine);
      const path = vm.draft.serial?.serial_out_path;
      if (path === undefined) feedStdin(machine);
    },
    ended(machineEnd) {
      if (machineEnd.message) log.error(machineEnd.message);
      void end(exitOf(machineEnd));
    },
  });
  onSignals(end);
  return apiFor(process, vm, metrics);
}

function apiFor(process: Process, vm: MicroVm, metrics: Recorder): Api {
  const { flags, log } = process;
  return {
    ...{ vm, metrics },
    table: flags.strict ? strict(TABLE) : TABLE,
    allowsModules: flags.allowModules,
    another: (id, socket) => anotherApi(process, id, socket),
    setLog({ path, ...settings }) {
      if (path !== undefined) logTo(log, path);
      log.set(settings);
    },
  };
}

/** What each machine of the process has of it. */
function surroundings(
  { flags, log }: Process,
  write: (bytes: Uint8Array) => unknown,
) {
  const serial: { write?: (bytes: Uint8Array) => void } = {};
  return {
    id: flags.id,
    log,
    pci: flags.pci,
    metadataMax: flags.mmdsMax ?? BODY_MAX,
    output(bytes: Uint8Array, path: string | undefined) {
      if (path === undefined) return write(bytes);
      serial.write ??= openByteOutput(path);
      serial.write(bytes);
    },
    booted(milliseconds: number) {
      if (!flags.bootTimer) return;
      const took = Math.round(milliseconds * 1000);
      log.info(`Guest-boot-time = ${took} us ${Math.round(milliseconds)} ms`);
    },
  };
}

/** Room for a second machine, which ends without the process. */
function anotherApi(
  { flags, log, ...process }: Process,
  id: string,
  socket: string,
): AnotherApi {
  const own: Process = {
    ...process,
    log: log.of(id),
    flags: { ...flags, id, apiSock: socket },
  };
  let server: ApiServer | undefined;
  using undo = new DisposableStack(); // unless there is room
  const listener = Deno.listen({ transport: "unix", path: socket });
  undo.defer(() => Deno.removeSync(socket));
  undo.defer(() => server === undefined ? listener.close() : server.close());
  if (flags.apiSockMode !== undefined) {
    Deno.chmodSync(socket, flags.apiSockMode);
  }
  const vm = new MicroVm({
    ...surroundings(own, () => {}), // standard output is the first one's
    started: (machine) => void nameVcpus(machine),
    ended({ reason, message }) {
      own.log.info(message ?? `The machine has ended: ${reason}.`);
      kept.dispose();
    },
  });
  const kept = undo.move();
  const api = apiFor(own, vm, new Recorder());
  return {
    vm,
    serve() {
      const bodyMax = flags.bodyMax ?? BODY_MAX;
      const peers = new Peers(socket);
      server = new ApiServer(listener, bodyMax, (request, first) => {
        if (first) tellPeers(own.log, peers);
        return answerBy(api, own, request);
      });
      void server.run();
    },
    [Symbol.dispose]() {
      if (server !== undefined) return;
      vm.held.releaseAll();
      if (vm.started) void vm.machine.stop();
      else kept.dispose();
    },
  };
}

/** What the process ends with when its machine has. */
function exitOf(end: MachineEnd): number {
  return isGuestsWish(end) || end.reason === "stopped" ? 0 : 1;
}

/** Answers one request. Never throws. */
export function answer(
  process: Process,
  request: HttpRequest,
  first: boolean,
): Promise<Answer> {
  peers ??= new Peers(process.flags.apiSock);
  if (first) tellPeers(process.log, peers);
  return answerBy(apiOf(process), process, request);
}

let peers: Peers | undefined;

function tellPeers(log: Log, peers: Peers): void {
  for (const { uid, pid } of peers.arrived()) {
    log.info(`Connection of user ${uid}, process ${pid}.`, "fc_api");
  }
}

async function answerBy(
  api: Api,
  { log, console }: Process,
  request: HttpRequest,
): Promise<Answer> {
  const fatal = () => void console.exit(1);
  try {
    return await answerTo(api, log, request, fatal);
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
