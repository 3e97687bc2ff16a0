/**
 * Where gdb attaches: a socket, and one client at a time.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { OwnName } from "../../ffi/own_name.ts";
import { UNIX_PATH_MAX } from "../../ffi/unix_socket.ts";
import type {
  DebuggedMachine,
  GdbAddress,
  GdbOptions,
  GdbServer,
} from "../../vmm/introspection/gdb.ts";
import {
  controlFolder,
  freeSocket,
  makeFolder,
} from "../../vmm/controller/folder.ts";
import { PACKET_MAX } from "./packets.ts";
import { GdbSession } from "./session.ts";
import { MachineTarget } from "./target.ts";

/** Only the owner can connect to a socket that is made with it. */
const OWNER_ONLY = 0o177;
/** How long to wait for a descriptor when there is none, in milliseconds. */
const RETRY = 200;

/** A listening socket, and who has connected to it. */
export class SocketGdbServer implements GdbServer {
  readonly target: string;
  closed = false;
  readonly #machine: DebuggedMachine;
  readonly #log: (message: string) => void;
  readonly #listener: Deno.Listener;
  readonly #name: OwnName | undefined;
  #client: Client | undefined;

  /**
   * Listens.
   *
   * @throws {VireoError} nobody can listen there
   */
  constructor(
    machine: DebuggedMachine,
    { address = ownSocket(), onLog }: GdbOptions,
  ) {
    this.#machine = machine;
    this.#log = (message) => onLog?.(`gdb: ${message}`);
    if ("path" in address) {
      this.#listener = listenUnix(address.path);
      this.#name = new OwnName(address.path);
      this.target = this.#name.path;
    } else {
      this.#listener = listenTcp(address);
      const { hostname, port } = this.#listener.addr as Deno.NetAddr;
      this.target = hostname.includes(":")
        ? `[${hostname}]:${port}`
        : `${hostname}:${port}`;
    }
    this.#listener.unref();
    void this.#accept();
  }

  /** The machine has ended: a debugger that waits for it is told. */
  machineEnded(): void {
    this.#stopListening();
    this.#client?.machineEnded();
  }

  /** Ends the conversation, and removes the socket. */
  [Symbol.dispose](): void {
    this.#stopListening();
    this.#client?.close();
  }

  #stopListening(): void {
    this.closed = true;
    this.#name?.[Symbol.dispose]();
    try {
      this.#listener.close();
    } catch { /* it is closed */ }
  }

  async #accept(): Promise<void> {
    while (!this.closed) {
      try {
        this.#welcome(await this.#listener.accept());
      } catch {
        // There is no descriptor, or the client has gone already.
        if (!this.closed) await wait(RETRY);
      }
    }
  }

  #welcome(connection: Deno.Conn): void {
    // Who has said nothing of gdb's makes place for who may.
    if (this.#client?.begun) {
      this.#log("another debugger is refused: one is attached");
      return connection.close();
    }
    this.#client?.close();
    const client = this.#client = new Client(connection, this.#machine);
    const gone = () => {
      if (this.#client === client) this.#client = undefined;
    };
    client.serve(this.#log).then(gone, gone);
  }
}

/** A connection, and its conversation. */
class Client {
  readonly #connection: Deno.Conn;
  readonly #session: GdbSession;
  #written: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(connection: Deno.Conn, machine: DebuggedMachine) {
    this.#connection = connection;
    (connection as Deno.TcpConn | Deno.UnixConn).unref();
    this.#session = new GdbSession(new MachineTarget(machine), {
      send: (bytes) => this.#send(bytes),
      close: () => void this.#written.then(() => this.close()),
    });
  }

  /** It has said something that gdb says. */
  get begun(): boolean {
    return this.#session.begun;
  }

  /** Until either side ends it; then the guest goes on. */
  async serve(log: (message: string) => void): Promise<void> {
    const buffer = new Uint8Array(PACKET_MAX);
    try {
      for (;;) {
        const count = await this.#connection.read(buffer);
        if (count === null) break;
        await this.#session.receive(buffer.slice(0, count));
        await this.#written; // as fast as it reads
      }
    } catch (error) {
      if (!this.#closed && !isGone(error)) log(`${(error as Error).message}`);
    } finally {
      await this.#session.end();
      this.close();
    }
  }

  /** What waits for a stop is told the end by its own. */
  machineEnded(): void {
    if (!this.#session.running) void this.#session.end();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.close();
  }

  #send(bytes: Uint8Array): void {
    this.#written = this.#written.then(async () => {
      for (let done = 0; done < bytes.length && !this.#closed;) {
        done += await this.#connection.write(bytes.subarray(done));
      }
    }).catch(() => this.close());
  }
}

/** Where control sockets are: in a folder that only its owner can enter. */
function ownSocket(): GdbAddress {
  const folder = controlFolder();
  makeFolder(folder);
  return { path: freeSocket(folder, "gdb") };
}

function isGone(error: unknown): boolean {
  const { ConnectionReset, BrokenPipe, BadResource, Interrupted } = Deno.errors;
  return [ConnectionReset, BrokenPipe, BadResource, Interrupted]
    .some((kind) => error instanceof kind);
}

function listenUnix(path: string): Deno.Listener {
  const where = `gdb "${path}"`;
  const { length } = new TextEncoder().encode(path);
  if (length < 1 || length > UNIX_PATH_MAX || path.includes("\0")) {
    throw new VireoError(
      `${where}: a socket's path has 1 to ${UNIX_PATH_MAX} bytes`,
    );
  }
  const before = Deno.umask(OWNER_ONLY);
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new VireoError(
        `${where}: exists already; remove it if no machine uses it`,
      );
    }
    throw explained(where, error);
  } finally {
    Deno.umask(before);
  }
}

function listenTcp(
  { hostname, port }: Extract<GdbAddress, { port: number }>,
): Deno.Listener {
  const where = `gdb ${hostname}:${port}`;
  try {
    return Deno.listen({ hostname, port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new VireoError(`${where}: the port is in use`);
    }
    throw explained(where, error);
  }
}

function explained(where: string, error: unknown): unknown {
  if (error instanceof Deno.errors.NotCapable) return error;
  return new VireoError(`${where}: ${(error as Error).message}`);
}

function wait(milliseconds: number): Promise<void> {
  return new Promise((done) => Deno.unrefTimer(setTimeout(done, milliseconds)));
}
