/**
 * For tests: the endpoints without a socket.
 *
 * @module
 */
import { answerTo } from "../endpoints/dispatch.ts";
import { TABLE } from "../endpoints/table.ts";
import type { Api, Endpoint } from "../endpoints/endpoint.ts";
import type { Answer } from "../http/answer.ts";
import type { Method } from "../http/parser.ts";
import { Log } from "../log.ts";
import { Recorder } from "../metrics.ts";
import { MicroVm } from "../microvm/microvm.ts";

/** Bytes of metadata. */
const METADATA_MAX = 100;

const encoder = new TextEncoder();

/** What it is to be. */
export interface TestApiOptions {
  /** Devices are functions of PCI. */
  pci?: boolean;
  /** Modules and commands are allowed. */
  allowsModules?: boolean;
  /** What can be asked; default: all. */
  table?: readonly Endpoint[];
}

/** One machine. */
export class TestApi implements AsyncDisposable {
  /** Its log. */
  readonly lines: string[] = [];
  /** What its guest has printed. */
  output = "";
  /** It is of no use any more. */
  isFatal = false;
  /** What endpoints work on. */
  readonly api: Api;
  readonly #log: Log;

  /** A machine of which nothing is said yet. */
  constructor(options: TestApiOptions = {}) {
    const { pci = false, allowsModules = false, table = TABLE } = options;
    const log = this.#log = new Log("test", (line) => this.lines.push(line));
    const vm = new MicroVm({
      id: "test",
      log,
      pci,
      metadataMax: METADATA_MAX,
      output: (bytes) => void (this.output += new TextDecoder().decode(bytes)),
      started() {},
      booted() {},
      ended() {},
    });
    this.api = {
      ...{ vm, metrics: new Recorder() },
      ...{ table, allowsModules },
      another() {
        throw new Error("there is no process");
      },
      setLog: (set) => log.set(set),
    };
  }

  /** Asks; a body that is no text goes as JSON. */
  async ask(method: Method, uri: string, body?: unknown): Promise<Answer> {
    const text = body === undefined || typeof body === "string"
      ? body
      : JSON.stringify(body);
    const bytes = text === undefined ? undefined : encoder.encode(text);
    const fatal = () => void (this.isFatal = true);
    const request = { method, uri, body: bytes };
    return await answerTo(this.api, this.#log, request, fatal);
  }

  /** Asks for what has to be done, and is. */
  async good(method: Method, uri: string, body?: unknown): Promise<unknown> {
    const answer = await this.ask(method, uri, body);
    if (answer.status < 300) return JSON.parse(answer.body ?? "null");
    throw new Error(`${method} ${uri}: ${answer.body}`);
  }

  /** Asks for what is refused; returns the reason. */
  async bad(method: Method, uri: string, body?: unknown): Promise<string> {
    const answer = await this.ask(method, uri, body);
    if (answer.status >= 400) return JSON.parse(answer.body!).fault_message;
    throw new Error(`${method} ${uri}: ${answer.status} ${answer.body}`);
  }

  /** Ends the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.api.vm.started) await this.api.vm.machine.stop();
    this.api.vm.held.releaseAll();
  }
}
