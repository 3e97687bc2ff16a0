/**
 * The control socket's language: a request is a line of JSON, and so is its
 * answer. It knows nothing of sockets, and takes any bytes.
 *
 * ```
 * {"id":1,"method":"snapshot","params":{"folder":"/srv/saved"}}
 * {"id":1,"result":null}          or {"id":1,"error":"one line"}
 * ```
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { report } from "../config/schema/report.ts";
import {
  anyText,
  anything,
  boolean,
  type Finding,
  formatted,
  integer,
  type Keys,
  list,
  object,
  oneOf,
  optional,
  required,
  type Rule,
} from "../config/schema/rule.ts";
import type { Spawn } from "../agent/relay.ts";
import type { Controller } from "./controller.ts";

/** The longest line in bytes: a path of 4 KiB, each byte of it escaped. */
export const LINE_MAX = 32 * 1024;

/** Who asks. */
export interface Asker {
  /**
   * After the answer, the connection is no control socket's any more: `to` gets
   * its descriptor.
   */
  handOver(to: (fd: number) => void): void;
}

/** One thing that can be asked. */
interface Method {
  params: Rule<object>;
  call(controller: Controller, params: object, asker: Asker): unknown;
}

function method<T extends object>(
  keys: Keys<T>,
  call: (controller: Controller, params: T, asker: Asker) => unknown,
): Method {
  return { params: object<T>(keys), call } as Method;
}

const absolute = formatted(
  "an absolute path",
  "an absolute path",
  (path) => path.startsWith("/") && !path.includes("\0"),
);

/** A command in the guest. */
export interface ExecParams {
  /** Program and arguments. */
  command: string[];
  /** `NAME=value`. */
  env?: string[];
  /** The folder that it starts in. */
  cwd?: string;
  /** It gets a terminal of this size. */
  terminal?: { rows: number; columns: number };
}

const LENGTH = integer(0, 0xffff);

/** Not a literal in `import()`: that is read at the start, needed or not. */
const RELAY = new URL("../agent/relay.ts", import.meta.url).href;

/** Commands at once, of all askers; a few channels are left to the owner. */
const COMMANDS_MAX = 24;
let commands = 0;

async function exec(
  controller: Controller,
  { command, env = [], ...options }: ExecParams,
  asker: Asker,
): Promise<void> {
  if (commands >= COMMANDS_MAX) {
    throw new VireoError(`${COMMANDS_MAX} commands run already`);
  }
  const variables = env.map((word) => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (name !== undefined) return [name, value!];
    throw new VireoError(`params.env: "${word}" is not of the form NAME=value`);
  });
  const whole = { ...options, env: Object.fromEntries(variables) };
  const { Relay }: typeof import("../agent/relay.ts") = await import(RELAY);
  asker.handOver(async (fd) => {
    commands++;
    const spawn: Spawn = (how) =>
      controller.spawn(command, { ...whole, ...how });
    await new Relay(fd).run(spawn);
    commands--;
  });
}

const METHODS = {
  describe: method({}, (controller) => controller.describe()),
  metrics: method({}, (controller) => controller.metrics()),
  pause: method({}, (controller) => controller.pause()),
  resume: method({}, (controller) => controller.resume()),
  exec: method<ExecParams>(
    {
      command: required(list(anyText), "the program and its arguments"),
      env: optional(list(anyText), "NAME=value"),
      cwd: optional(anyText, "the folder that it starts in"),
      terminal: optional(
        object<NonNullable<ExecParams["terminal"]>>({
          rows: required(LENGTH, "its height"),
          columns: required(LENGTH, "its width"),
        }),
        "it gets one",
      ),
    },
    exec,
  ),
  "power-button": method({}, (controller) => controller.powerButton()),
  snapshot: method<{ folder: string; sync?: boolean; since?: string }>(
    {
      since: optional(absolute, "save what differs from the one there"),
      folder: required(absolute, "where to save it"),
      sync: optional(boolean, "it outlives a power cut"),
    },
    (controller, { folder, ...options }) =>
      controller.snapshot(folder, options),
  ),
  gdb: method({}, (controller) => controller.gdb()),
  dump: method<{ file: string }>(
    { file: required(absolute, "where to write it") },
    (controller, { file }) => controller.dump(file),
  ),
} satisfies Record<string, Method>;

/** What can be asked. */
export type MethodName = keyof typeof METHODS;

/** Names of all that can be asked. */
export const METHOD_NAMES = Object.keys(METHODS) as MethodName[];

interface Request {
  id?: number | string;
  method: MethodName;
  params?: object;
}

const id: Rule<number | string> = {
  takes: "a number or a text",
  read(value, path, findings) {
    const short = typeof value === "string" && value.length <= 64;
    if (Number.isSafeInteger(value) || short) return value as number | string;
    findings.push({
      path,
      code: "type",
      expected: "a number or a text",
      value,
    });
  },
  fill: (value) => value,
};

const REQUEST = object<Request>({
  id: optional(id, "comes back with the answer"),
  method: required(oneOf(METHOD_NAMES), "what is asked"),
  params: optional(anything as Rule<object>, "the method's own"),
});

const NOBODY: Asker = {
  handOver() {
    throw new VireoError("it takes a connection");
  },
};

/**
 * Carries out what a line asks for. Never throws, whatever is in it.
 *
 * @returns the answer, a line without its end
 */
export async function answerTo(
  controller: Controller,
  line: Uint8Array,
  asker: Asker = NOBODY,
): Promise<string> {
  let asked: Partial<Request> = {};
  try {
    const findings: Finding[] = [];
    asked = REQUEST.read(parse(line), "", findings) ?? {};
    refuse(findings);
    const { method, params = {} } = asked as Request;
    const { params: rule, call } = METHODS[method];
    const given = rule.read(params, "params", findings);
    refuse(findings);
    const result = await call(controller, given!, asker);
    return JSON.stringify({ id: asked.id, result: result ?? null });
  } catch (error) {
    return refusal(error instanceof Error ? error.message : "", asked.id);
  }
}

/** An answer that says what is wrong, in one line. */
export function refusal(message: string, id?: number | string): string {
  return JSON.stringify({ id, error: message.replaceAll("\n", "; ") });
}

function parse(line: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch {
    throw new VireoError("not a line of JSON");
  }
}

/** @throws {VireoError} what is wrong */
function refuse(findings: Finding[]): void {
  if (findings.length > 0) throw new VireoError(report(findings));
}

/** Cuts bytes into lines, and keeps no more than one of them. */
export class Lines {
  readonly #buffer = new Uint8Array(LINE_MAX);
  #length = 0;

  /** Where the next bytes go, at least one; `took` says how many came. */
  get room(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(this.#length);
  }

  /** There are bytes behind the last line that was taken. */
  get more(): boolean {
    return this.#length > 0;
  }

  /** So many bytes have been put into {@linkcode room}. */
  took(count: number): void {
    this.#length += count;
  }

  /**
   * Takes the next line out; undefined: there is none yet.
   *
   * @throws {VireoError} it is too long
   */
  next(): Uint8Array | undefined {
    const held = this.#buffer.subarray(0, this.#length);
    const end = held.indexOf(NEWLINE);
    if (end >= 0) {
      const line = held.slice(0, end);
      this.#buffer.copyWithin(0, end + 1, this.#length);
      this.#length -= end + 1;
      return line;
    }
    if (this.#length < LINE_MAX) return undefined;
    throw new VireoError(`a line has at most ${LINE_MAX - 1} bytes`);
  }
}

const NEWLINE = 10;
