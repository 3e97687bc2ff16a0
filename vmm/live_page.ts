/**
 * The live page as a program has it, for any number of its machines.
 *
 * @module
 */
import type { Machine } from "./machine.ts";

/** A machine, as far as a page shows and steers it. */
export type WatchedMachine = Pick<
  Machine,
  | "state"
  | "metrics"
  | "traceBatches"
  | "pause"
  | "resume"
  | "powerButton"
  | "snapshot"
  | "balloon"
>;

/** Takes what is typed; a promise, while that is more than the guest reads. */
export type PageInput = (bytes: Uint8Array) => Promise<unknown> | undefined;

/** One machine's place on a page; disposed of, it is there no more. */
export interface ShownMachine extends Disposable {
  /** The guest has said this: for `MachineOptions.onOutput`. */
  heard(bytes: Uint8Array): void;
  /**
   * Shows `machine` from now on, also after its end.
   *
   * @param input takes what is typed; default: nothing can be typed
   */
  watch(machine: WatchedMachine, input?: PageInput): void;
}

/** A page that listens; disposed of, it tells its readers, and ends. */
export interface LivePage extends AsyncDisposable {
  /** Its URL, with the token that lets its reader in. */
  readonly url: string;
  /**
   * A place for one more machine. With more than one, the page lists them.
   *
   * @param name as a machine may be called
   * @throws {VireoError} it may not, or another one is called so
   */
  add(name: string): ShownMachine;
}

/** Where a page is, and what it does. */
export interface LivePageOptions {
  /** An address of this host's own; default: 127.0.0.1. */
  hostname?: string;
  /** Its port; default: any that is free. */
  port?: number;
  /** It may be an address that other hosts can reach. */
  public?: boolean;
  /** The folder that its button saves snapshots in; default: the current one. */
  folder?: string;
  /** One line: the page has ended before it was disposed of. */
  onLog?(message: string): void;
}

/** The module that has it. */
interface PageModule {
  serve(options: LivePageOptions): LivePage;
}

/** Not a literal in `import()`: that is read at the start, needed or not. */
const PAGE = new URL("../monitor/page/mod.ts", import.meta.url).href;

/**
 * Serves a page that shows machines of this process in a browser. Whoever has
 * its URL owns them.
 *
 * @throws {VireoError} nobody can listen there
 *
 * @example
 * ```ts ignore
 * await using page = await serveLivePage({ port: 8000 });
 * console.log(page.url);
 * const shown = page.add("one");
 * const onOutput = (bytes: Uint8Array) => shown.heard(bytes);
 * const machine = await Machine.create(config, { onOutput });
 * shown.watch(machine, (bytes) => machine.input(bytes));
 * ```
 */
export async function serveLivePage(
  options: LivePageOptions = {},
): Promise<LivePage> {
  const { serve }: PageModule = await import(PAGE);
  return serve(options);
}
