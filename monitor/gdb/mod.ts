/**
 * gdb's remote serial protocol over a machine. Loaded when one is debugged.
 *
 * @module
 */
import type {
  DebuggedMachine,
  GdbOptions,
  GdbServer,
} from "../../vmm/introspection/gdb.ts";
import { SocketGdbServer } from "./server.ts";

/**
 * Serves gdb until the machine's end, or until it is disposed of.
 *
 * @throws {VireoError} nobody can listen there
 */
export function serveGdb(
  machine: DebuggedMachine,
  options: GdbOptions,
): GdbServer {
  const server = new SocketGdbServer(machine, options);
  const ended = () => server.machineEnded();
  machine.wait().then(ended, ended);
  return server;
}
