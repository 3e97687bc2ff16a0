/**
 * For tests: machines with captured output, scratch disks, and network
 * namespaces that clean up after themselves.
 *
 * @module
 */
import { descriptorsButDenos } from "../../ffi/testing/descriptors.ts";
import { TestNamespace } from "../../ffi/testing/tap.ts";
import type { OwnEvent } from "../../devices/own/context.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import type { MachineEnd } from "../messages.ts";
import { until } from "../../ffi/testing/until.ts";
import { workerThreads } from "./held.ts";

/** A finished run. */
export interface FinishedRun {
  /** Why the machine ended. */
  end: MachineEnd;
  /** All that the guest printed. */
  output: string;
  /** What devices logged. */
  log: string[];
}

/** A machine whose output is kept. */
export class TestMachine implements AsyncDisposable {
  /** The machine. */
  readonly machine: Machine;
  /** What devices logged. */
  readonly log: string[];
  /** What modules emitted. */
  readonly events: OwnEvent[];
  readonly #chunks: Uint8Array[];

  private constructor(
    machine: Machine,
    log: string[],
    events: OwnEvent[],
    chunks: Uint8Array[],
  ) {
    this.machine = machine;
    this.log = log;
    this.events = events;
    this.#chunks = chunks;
  }

  /** Makes a machine; it is not started. */
  static create(
    config: VmConfig,
    options: MachineOptions = {},
  ): Promise<TestMachine> {
    return TestMachine.of((mine) =>
      Machine.create(config, { ...options, ...mine })
    );
  }

  /** The machine that `make` makes with these options. */
  static async of(
    make: (options: MachineOptions) => Promise<Machine>,
  ): Promise<TestMachine> {
    const log: string[] = [];
    const events: OwnEvent[] = [];
    const chunks: Uint8Array[] = [];
    const machine = await make({
      onOutput: (bytes) => chunks.push(bytes),
      onLog: (message) => log.push(message),
      onEvent: (event) => events.push(event),
    });
    return new TestMachine(machine, log, events, chunks);
  }

  /** What the guest has printed so far. */
  get output(): string {
    const decoder = new TextDecoder();
    return this.#chunks.map((c) => decoder.decode(c, { stream: true })).join(
      "",
    );
  }

  /** Forgets what has been printed. */
  clear(): void {
    this.#chunks.length = 0;
  }

  /** Starts the machine and waits for its end. */
  async run(): Promise<FinishedRun> {
    this.machine.start();
    const end = await this.machine.wait();
    return { end, output: this.output, log: this.log };
  }

  /**
   * Waits until the guest has printed `text`; throws when it has ended
   * without. Output comes in pieces: what is read of it needs a pattern with
   * what comes after it.
   */
  async printed(text: string | RegExp): Promise<void> {
    let ended = false;
    this.machine.wait().finally(() => ended = true);
    const printed = typeof text === "string"
      ? () => this.output.includes(text)
      : () => text.test(this.output);
    await until(() => printed() || ended, `"${text}"`, () => this.output);
    if (printed()) return;
    throw new Error(`ended before it printed "${text}":\n${this.output}`);
  }

  /** Ends the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
  }
}

/** Makes a machine, runs it to its end. */
export async function runMachine(config: VmConfig): Promise<FinishedRun> {
  await using test = await TestMachine.create(config);
  return await test.run();
}

/** A file that is removed at the end of its scope. */
export class ScratchFile implements Disposable {
  /** Where it is. */
  readonly path: string = Deno.makeTempFileSync({ prefix: "vireo-test-" });

  /** A sparse file of `size` bytes. */
  constructor(size: number) {
    Deno.truncateSync(this.path, size);
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/**
 * What this process's descriptors are, but for Deno's event loops', once no
 * worker is left and they don't change any more.
 */
export async function descriptorsAtRest(): Promise<string[]> {
  let last = descriptorsButDenos();
  for (let same = 0; same < 10;) {
    await new Promise((done) => setTimeout(done, 30));
    const now = descriptorsButDenos();
    const rests = workerThreads().length === 0 && now.join() === last.join();
    same = rests ? same + 1 : 0;
    last = now;
  }
  return last;
}

/**
 * Waits until no descriptor is left that was not there `before`. A file of
 * Deno's own may have been closed since: a worker's, whose end it saw late.
 */
export async function descriptorsAgain(before: string[]): Promise<void> {
  const more = () => notAmong(descriptorsButDenos(), before).join(", ");
  await until(() => more() === "", "descriptors as before", more);
}

/** What is in `some` more often than in `others`. */
function notAmong(
  some: readonly string[],
  others: readonly string[],
): string[] {
  const left = [...others];
  return some.filter((name) => {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** Runs a command and returns what it printed; throws when it fails. */
export async function command(
  name: string,
  ...args: string[]
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(name, { args })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (success) return text(stdout);
  throw new Error(`${name} ${args.join(" ")}: ${text(stderr)}`);
}

/** A network namespace with one TAP, `tap0`, whose host end has an address. */
export class TestNetwork implements Disposable {
  readonly #namespace = new TestNamespace();
  /** The namespace's name. */
  readonly netns: string = this.#namespace.name;
  /** The host's address in it. */
  readonly host = "10.118.0.1";
  /** An address for the guest, in the same /24. */
  readonly guest = "10.118.0.2";

  /** Makes the namespace and the TAP, of one queue or for several. */
  constructor({ multiQueue = false } = {}) {
    const namespace = this.#namespace;
    const kind = multiQueue ? ["multi_queue"] : [];
    namespace.ip("tuntap", "add", "tap0", "mode", "tap", ...kind);
    namespace.ip("address", "add", `${this.host}/24`, "dev", "tap0");
    namespace.ip("link", "set", "tap0", "up");
    namespace.ip("link", "set", "lo", "up");
  }

  /** Runs a command inside; throws when it fails. */
  run(...args: string[]): Promise<string> {
    return command("ip", "netns", "exec", this.netns, ...args);
  }

  /** Starts a command inside. */
  spawn(...args: string[]): Deno.ChildProcess {
    return new Deno.Command("ip", {
      args: ["netns", "exec", this.netns, ...args],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  /** Removes the namespace and all that is in it. */
  [Symbol.dispose](): void {
    this.#namespace[Symbol.dispose]();
  }
}
