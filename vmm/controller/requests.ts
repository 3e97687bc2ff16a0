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
  anything,
  boolean,
  type Finding,
  formatted,
  type Keys,
  object,
  oneOf,
  optional,
  required,
  type Rule,
} from "../config/schema/rule.ts";
import type { Controller } from "./controller.ts";

/** The longest line in bytes: a path of 4 KiB, each byte of it escaped. */
export const LINE_MAX = 32 * 1024;

/** One thing that can be asked. */
interface Method {
  params: Rule<object>;
  call(controller: Controller, params: object): unknown;
}

function method<T extends object>(
  keys: Keys<T>,
  call: (controller: Controller, params: T) => unknown,
): Method {
  return { params: object<T>(keys), call } as Method;
}

const absolute = formatted(
  "an absolute path",
  "an absolute path",
  (path) => path.startsWith("/") && !path.includes("\0"),
);

const METHODS = {
  describe: method({}, (controller) => controller.describe()),
  pause: method({}, (controller) => controller.pause()),
  resume: method({}, (controller) => controller.resume()),
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

/**
 * Carries out what a line asks for. Never throws, whatever is in it.
 *
 * @returns the answer, a line without its end
 */
export async function answerTo(
  controller: Controller,
  line: Uint8Array,
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
    const result = await call(controller, given!);
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
