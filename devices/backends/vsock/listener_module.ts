/**
 * Modules of the user's that the guest's sockets reach by a port: each listens
 * where a host program would.
 *
 * @module
 */
import type { OwnCode } from "../../own/code.ts";
import { VireoError } from "../../../ffi/error.ts";

/** What a listener's module is: its default export is a class of these. */
export interface ListenerModule {
  /** The guest has connected; the connection is the module's to close. */
  connection(connection: Deno.UnixConn): void | Promise<void>;
  /** Releases what it holds. */
  close?(): void;
}

/** A module that listens at `path`. */
export class ModuleListener {
  readonly #module: ListenerModule;
  readonly #listener: Deno.UnixListener;
  readonly #path: string;

  /**
   * Listens.
   *
   * @throws {VireoError} it can't
   */
  constructor(path: string, module: ListenerModule, own: OwnCode) {
    this.#module = module;
    this.#path = path;
    try {
      this.#listener = Deno.listen({ transport: "unix", path });
    } catch (error) {
      throw new VireoError(`${own.name}: ${path}: ${(error as Error).message}`);
    }
    void this.#accept(own);
  }

  /** Listens no more; the socket is removed. */
  close(): void {
    this.#listener.close();
    try {
      Deno.removeSync(this.#path);
    } catch { /* somebody else did */ }
    this.#module.close?.();
  }

  async #accept(own: OwnCode): Promise<void> {
    for await (const connection of this.#listener) {
      own.call(() => this.#module.connection(connection as Deno.UnixConn));
    }
  }
}
