/**
 * What is kept of a guest that panics, triple-faults, or does what KVM can't.
 * Loaded when it is asked for.
 *
 * @module
 */
import { ChromeTrace, FIRST_LINE } from "../monitor/trace/chrome.ts";
import type { MachineView } from "../vmm/introspection/machine_view.ts";
import type { Machine } from "../vmm/machine.ts";
import type { MachineEnd } from "../vmm/messages.ts";
import type { FlightRecorder } from "../vmm/trace/flight_recorder.ts";
import type { CrashDirOption } from "./crash_dir.ts";
import { LastBytes } from "./streams/last_bytes.ts";

/** Events that are kept. */
const EVENTS = 1000;
/** Bytes of the console that are kept. */
const TAIL = 64 * 1024;
/** Linux's `panic()` begins so; what it says then ends so, if it goes on. */
const PANIC = "Kernel panic - not syncing";
const PANIC_SAID = /---\[ end Kernel panic.*\n/;
/** Text that may be a part of these: Linux says why in at most 1,024 bytes. */
const SEEN = 2048;

/** Watches one machine, and keeps its first crash. */
export class CrashKeeper {
  readonly #option: CrashDirOption;
  readonly #say: (line: string) => void;
  readonly #tail = new LastBytes(TAIL);
  readonly #decoder = new TextDecoder();
  #seen = "";
  #panicked = false;
  #kept: Promise<void> | undefined;
  #machine: Machine | undefined;
  #events: FlightRecorder | undefined;

  /** @param say a line for the user */
  constructor(option: CrashDirOption, say: (line: string) => void) {
    this.#option = option;
    this.#say = say;
  }

  /** The machine is there, and has not begun. */
  async watch(machine: Machine): Promise<void> {
    this.#events = await machine.flightRecorder(EVENTS);
    this.#machine = machine;
  }

  /** The guest prints. */
  heard(bytes: Uint8Array): void {
    this.#tail.push(bytes);
    if (this.#kept !== undefined) return;
    this.#seen += this.#decoder.decode(bytes, { stream: true });
    this.#panicked ||= this.#seen.includes(PANIC);
    // A kernel that restarts doesn't get there: its end is seen then.
    if (PANIC_SAID.test(this.#seen)) this.#keepRunning();
    this.#seen = this.#seen.slice(-SEEN);
  }

  /** The machine has ended: `MachineOptions.atEnd`. */
  async atEnd(view: MachineView, end: MachineEnd): Promise<void> {
    if (this.#kept !== undefined) return await this.#kept;
    const failed = end.reason === "error" || end.reason === "triple-fault";
    if (failed) await this.#keep(view, end.message ?? end.reason);
    else if (this.#panicked) await this.#keep(view, "the kernel panicked");
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#kept;
  }

  /** The guest goes on afterwards, as far as it does. */
  #keepRunning(): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    let begun = false;
    const kept = machine.introspect(async (view) => {
      begun = true;
      await this.#write(view, "the kernel panicked");
    });
    this.#kept = kept.catch((error) => {
      // It has ended meanwhile, which is seen then.
      if (!begun) this.#kept = undefined;
      else this.#failed(error);
    });
  }

  async #keep(view: MachineView, why: string): Promise<void> {
    this.#kept = this.#write(view, why).catch((error) => this.#failed(error));
    await this.#kept;
  }

  async #write(view: MachineView, why: string): Promise<void> {
    const { folder, core, snapshot } = this.#option;
    const time = new Date().toISOString();
    const name = `${time.replaceAll(/[:.]/g, "-")}-${Deno.pid}`;
    const path = `${folder}/${name}`;
    Deno.mkdirSync(path, { mode: 0o700 });
    const command = ["vireo", ...Deno.args].join(" ");
    const text = `${why}\n${time}\n${command}\n\n${view.state()}\n`;
    Deno.writeTextFileSync(`${path}/state`, text);
    Deno.writeFileSync(`${path}/console`, this.#tail.bytes());
    const events = new ChromeTrace().add(this.#events?.last() ?? []);
    Deno.writeTextFileSync(
      `${path}/events.json`,
      `${FIRST_LINE}${events}\n]\n`,
    );
    // What can't be had keeps nothing else away.
    if (core) await this.#try(() => view.dump(`${path}/core`));
    if (snapshot) await this.#try(() => saved(view, `${path}/snapshot`));
    this.#say(`${why.split("\n")[0]}: see ${path}`);
  }

  async #try(step: () => Promise<void>): Promise<void> {
    await step().catch((error) => this.#failed(error));
  }

  #failed(error: unknown): void {
    const why = error instanceof Error ? error.message : `${error}`;
    this.#say(`--crash-dir: ${why}`);
  }
}

async function saved(view: MachineView, folder: string): Promise<void> {
  using snapshot = await view.snapshot();
  snapshot.save(folder);
}
