/**
 * What a machine knows of its debugger's server, which is loaded by its URL.
 *
 * @module
 */
import type { MachineState } from "../machine_state.ts";
import type { MachineEnd } from "../messages.ts";
import type { Snapshot } from "../snapshot/mod.ts";
import type { MachineView } from "./machine_view.ts";

/** Where gdb can attach. */
export type GdbAddress =
  /** A Unix socket, which is made for its owner only. */
  | { path: string }
  /** TCP; port 0 is a free one. */
  | { hostname: string; port: number };

/** How gdb can attach. */
export interface GdbOptions {
  /** Where; default: a socket beside the machine's control socket. */
  address?: GdbAddress;
  /** One line each: who attaches, who is refused. */
  onLog?(message: string): void;
}

/** A server that gdb can attach to. It goes with its machine. */
export interface GdbServer extends Disposable {
  /** What gdb's `target remote` takes. */
  readonly target: string;
  /** Nobody can attach any more. */
  readonly closed: boolean;
}

/** A machine, as far as a debugger needs it. */
export interface DebuggedMachine {
  /** Where it is in its life. */
  readonly state: MachineState;
  /** `Machine.pause`. */
  pause(): Promise<void>;
  /** `Machine.resume`. */
  resume(): Promise<void>;
  /** `Machine.stop`. */
  stop(): Promise<MachineEnd>;
  /** `Machine.wait`. */
  wait(): Promise<MachineEnd>;
  /** `Machine.snapshot`. */
  snapshot(): Promise<Snapshot>;
  /** `Machine.reset`. */
  reset(snapshot: Snapshot): Promise<void>;
  /** `Machine.introspect`. */
  introspect<T>(look: (view: MachineView) => T | Promise<T>): Promise<T>;
  /** `Machine.onDebugStop`. */
  onDebugStop(stopped: (vcpu: number) => void): Disposable;
}

/** The module that has the server. */
export interface GdbModule {
  /** Serves gdb until the machine's end. */
  serveGdb(machine: DebuggedMachine, options: GdbOptions): GdbServer;
}
