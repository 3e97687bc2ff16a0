/**
 * `--snapshot-on EVENT FOLDER`: saves a machine when something happens.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { SignalName } from "../../ffi/signal.ts";
import { didYouMean } from "../../vmm/devices/words.ts";
import type { Machine } from "../../vmm/machine.ts";
import { EVENT_FORM, EVENTS, SEPARATOR } from "./event_words.ts";

/** The signal of the event of that name. It ends any other machine. */
export const SNAPSHOT_SIGNAL: SignalName = "SIGUSR2";

/** When to save a machine, and where. */
export interface SnapshotOptions {
  /** What has to happen. */
  event: "rendezvous" | "signal" | "text";
  /** Of `text`: what the console shows then, the first time. */
  text?: string;
  /** The snapshot's folder. */
  folder: string;
}

/**
 * What the options say, as {@linkcode foldEvents} has put them together.
 *
 * @throws {VireoError} no such event, or without a folder
 */
export function parseSnapshots(
  { snapshotOn = [] }: { snapshotOn?: string[] },
): SnapshotOptions[] {
  return snapshotOn.map((words) => parse(words.split(SEPARATOR)));
}

/**
 * The folders of those that happen when a prepared init asks for its orders.
 *
 * @param asks such an init is what is booted
 * @throws {VireoError} it is not
 */
export function rendezvousFolders(
  options: readonly SnapshotOptions[],
  asks: boolean,
): string[] {
  const folders = options.filter(({ event }) => event === "rendezvous")
    .map(({ folder }) => folder);
  if (folders.length === 0 || asks) return folders;
  throw new VireoError(
    `--snapshot-on rendezvous ${
      folders[0]
    }: only the prepared kernel and root ` +
      "image, as vireo boot has them, come to one",
  );
}

function parse(words: string[]): SnapshotOptions {
  const given = `--snapshot-on ${words.join(" ")}`;
  const [event = ""] = words;
  const known = EVENTS.find((name) => name === event);
  if (known === undefined) {
    throw new VireoError(
      `${given}: not of the form ${EVENT_FORM}${didYouMean(event, EVENTS)}`,
    );
  }
  const text = known === "text" ? words[1] : undefined;
  const folder = words[known === "text" ? 2 : 1];
  if (!folder || folder.startsWith("-") || text === "") {
    throw new VireoError(`${given}: not of the form ${EVENT_FORM}`);
  }
  return { event: known, text, folder };
}

/** Saves one machine, at each event that was asked for. */
export class SnapshotTriggers implements Disposable {
  /** The machine; until there is one, nothing happens to it. */
  machine: Machine | undefined;
  readonly #options: readonly SnapshotOptions[];
  readonly #say: (line: string) => void;
  readonly #texts: TextWatch[];
  readonly #stack = new DisposableStack();
  /** Folders that are being written, or wait for that. */
  readonly #due = new Set<string>();
  #turn: Promise<void> = Promise.resolve();

  /** Waits for signals; `say` tells the user how it went. */
  constructor(
    options: readonly SnapshotOptions[],
    say: (line: string) => void,
  ) {
    this.#options = options;
    this.#say = say;
    this.#texts = options.filter(({ event }) => event === "text")
      .map(({ text, folder }) => new TextWatch(text!, folder));
    if (!this.wantsSignal) return;
    const signalled = () => this.#signalled();
    Deno.addSignalListener(SNAPSHOT_SIGNAL, signalled);
    this.#stack.defer(() =>
      Deno.removeSignalListener(SNAPSHOT_SIGNAL, signalled)
    );
  }

  /** {@linkcode SNAPSHOT_SIGNAL} is one of the events. */
  get wantsSignal(): boolean {
    return this.#options.some(({ event }) => event === "signal");
  }

  /** The console has shown this. */
  heard(bytes: Uint8Array): void {
    for (const watch of this.#texts) {
      if (watch.heard(bytes)) this.#save(watch.folder);
    }
  }

  /** Nothing is an event any more. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  #signalled(): void {
    for (const { event, folder } of this.#options) {
      if (event === "signal") this.#save(folder);
    }
  }

  /** Once more only if the last time is over. */
  #save(folder: string): void {
    const { machine } = this;
    if (machine === undefined || this.#due.has(folder)) return;
    this.#due.add(folder);
    this.#turn = this.#turn.then(async () => {
      this.#say(await save(machine, folder));
      this.#due.delete(folder);
    });
  }
}

/** How it went, in a line. */
async function save(machine: Machine, folder: string): Promise<string> {
  try {
    using snapshot = await machine.snapshot();
    snapshot.save(folder);
    return `saved in ${folder}; it goes on with: vireo restore ${folder}`;
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    return error.message;
  }
}

/** Waits for a text, in pieces or not. */
class TextWatch {
  readonly folder: string;
  readonly #text: string;
  readonly #decoder = new TextDecoder();
  #shown = "";
  #done = false;

  constructor(text: string, folder: string) {
    this.#text = text;
    this.folder = folder;
  }

  /** True once: this is the end of the text. */
  heard(bytes: Uint8Array): boolean {
    if (this.#done) return false;
    const shown = this.#shown + this.#decoder.decode(bytes, { stream: true });
    this.#done = shown.includes(this.#text);
    this.#shown = shown.slice(-this.#text.length);
    return this.#done;
  }
}
