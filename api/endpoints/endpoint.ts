/**
 * What an endpoint is: a row of the table.
 *
 * @module
 */
import type { Shape } from "../body/shape.ts";
import type { Method } from "../http/parser.ts";
import type { MicroVm } from "../microvm/microvm.ts";
import type { Recorder } from "../metrics.ts";
import type { LogSettings } from "../log.ts";

/** When something may be asked: before the machine starts, after, or always. */
export type When = "before" | "after" | "always";

/** A second machine, which hears nothing until it is served. */
export interface AnotherApi extends Disposable {
  /** The machine; nothing is said of it yet. */
  readonly vm: MicroVm;
  /** Answers from now on. Without, disposing takes it all back. */
  serve(): void;
}

/** What endpoints work on. */
export interface Api {
  /** All that can be asked. */
  readonly table: readonly Endpoint[];
  /** Modules, commands in the guest and faults are allowed. */
  readonly allowsModules: boolean;
  /**
   * Room for another machine in this process.
   *
   * @throws {VireoError} nobody can listen there
   */
  another(id: string, socket: string): AnotherApi | Promise<AnotherApi>;
  /** The machine. */
  readonly vm: MicroVm;
  /** What is counted. */
  readonly metrics: Recorder;
  /** Sets the log; a path is opened. */
  setLog(settings: LogSettings & { path?: string | undefined }): void;
}

/** Something that can be asked. */
export interface Endpoint<T = unknown> {
  /** With this. */
  readonly method: Method;
  /** The first part of the path; empty: there is none. */
  readonly segment: string;
  /** What follows: a name of the client's own, or one of these. */
  readonly rest?: "id" | readonly string[];
  /** When. */
  readonly when: When;
  /** What it does, in a sentence. */
  readonly about: string;
  /** What its body has to be; undefined: there is none. */
  readonly body?: Shape<T>;
  /** A PUT is answered with a body. */
  readonly answers?: boolean;
  /** It may be left out. */
  readonly bodyOptional?: boolean;
  /** The name of the key that has to be the path's id. */
  readonly idKey?: string;
  /** What is said first of what goes wrong. */
  readonly prefix: string;
  /** What it counts as. */
  readonly counter?: string;
  /** Whether the body has something that goes out of use. */
  deprecated?(body: T): boolean;
  /** Does it; what it returns is answered, as JSON. */
  run(api: Api, body: T, id: string): unknown;
}

/** A row, checked by its own types. */
export function endpoint<T>(row: Endpoint<T>): Endpoint {
  return row as Endpoint;
}
