/**
 * An Ethernet switch: machines of this process are plugged in, those of others,
 * and QEMU's, join it through Unix sockets.
 *
 * @module
 */
import { PcapFile } from "../devices/backends/net/pcap_file.ts";
import { Plug, type PluggedIn } from "../devices/backends/net/plug.ts";
import { VireoError } from "../ffi/error.ts";
import { OwnName } from "../ffi/own_name.ts";
import { UNIX_PATH_MAX } from "../ffi/unix_socket.ts";
import { openPcap } from "../vmm/devices/open_network.ts";
import { addressAt, AddressTable, isGroup } from "./address_table.ts";
import { PlugPort } from "./plug_port.ts";
import type { Port, PortCounts } from "./port.ts";
import { checkedShape, type LinkShape } from "./shape.ts";
import { SocketPort } from "./socket_port.ts";

/** Ports of a switch at most; who connects then is hung up on. */
const MAX_PORTS = 128;
const NO_PORT = `there are ${MAX_PORTS} ports already`;
/** After a failed accept, in milliseconds: descriptors may come back. */
const ACCEPT_PAUSE = 100;

/**
 * A link: what it does to frames, and what records them.
 *
 * @experimental
 */
export interface LinkOptions extends LinkShape {
  /** Path of a file that gets all its frames, for tcpdump; replaced if there. */
  pcap?: string;
}

/**
 * A link of a switch, with a port for each machine that is at it.
 *
 * @experimental
 */
export interface SwitchEnd {
  /** How many machines are connected. */
  readonly connected: number;
  /** Frames of all its ports so far, of those that have gone too. */
  readonly counts: PortCounts;
  /**
   * What becomes of frames from now on; those on their way stay as they were.
   *
   * @throws {VireoError} a value can't be
   */
  reshape(shape: LinkShape): void;
}

/**
 * A socket of a switch: each machine that connects to it gets a port of its
 * own, at the end of such a link.
 *
 * @experimental
 */
export interface SwitchLink extends SwitchEnd {
  /** The socket's path: an interface's `socket`. */
  readonly path: string;
}

/**
 * The same without a socket, for machines of this process: an interface's
 * `plug`.
 *
 * @experimental
 */
export type SwitchPlug = SwitchEnd & Plug;

/**
 * A switch that learns addresses. A frame for an unknown address, or for all,
 * goes to all other ports. A client that reads too slowly loses frames, one
 * that sends nonsense loses its port, and nobody else does.
 *
 * @experimental
 *
 * @example A machine of this process, and a socket for others
 * ```ts ignore
 * await using network = new Switch();
 * const plug = network.plug();
 * // "network-interfaces": [{ iface_id: "eth0", plug }]
 * network.listen("far.sock", { latency: 20, loss: 0.01, pcap: "far.pcap" });
 * // "network-interfaces": [{ iface_id: "eth0", socket: "far.sock" }]
 * ```
 */
export class Switch implements AsyncDisposable {
  readonly #log: (message: string) => void;
  readonly #table = new AddressTable<Port>();
  readonly #ports = new Set<Port>();
  readonly #stack = new DisposableStack();
  readonly #running: Promise<void>[] = [];
  #closed = false;

  /**
   * A switch without ports.
   *
   * @param log hears of clients that are hung up on, and of captures that fail
   */
  constructor(log: (message: string) => void = () => {}) {
    this.#log = log;
  }

  /**
   * Listens on a new socket at `path`, until the switch is closed.
   *
   * @throws {VireoError} the socket or the capture can't be had, or a value of
   *   the link can't be
   */
  listen(path: string, { pcap, ...options }: LinkOptions = {}): SwitchLink {
    const what = `switch "${path}"`;
    if (this.#closed) throw new VireoError(`${what}: the switch is closed`);
    const shape = checkedShape(what, options);
    using undo = new DisposableStack(); // unless it listens
    const stack = undo.use(new DisposableStack());
    const listener = listenUnix(path, what);
    stack.defer(() => listener.close());
    stack.use(new OwnName(path)); // goes before the listener does
    const link = new SocketLink(what, shape, this.#capture(pcap, stack, undo));
    link.path = path;
    this.#stack.use(stack.move());
    undo.move();
    this.#running.push(this.#accept(listener, link));
    return link;
  }

  /**
   * A link for machines of this process, without a socket: each interface that
   * has it as its `plug` gets a port of its own.
   *
   * @throws {VireoError} the capture can't be had, or a value of the link can't
   *   be
   */
  plug({ pcap, ...options }: LinkOptions = {}): SwitchPlug {
    const what = "switch plug";
    if (this.#closed) throw new VireoError(`${what}: the switch is closed`);
    const shape = checkedShape(what, options);
    using undo = new DisposableStack(); // unless the capture is open
    const stack = undo.use(new DisposableStack());
    const capture = this.#capture(pcap, stack, undo);
    this.#stack.use(stack.move());
    undo.move();
    const link = new Link(what, shape, capture);
    return new LinkPlug(link, () => this.#plugIn(link));
  }

  /** Addresses that it has learnt. */
  get addresses(): number {
    return this.#table.size;
  }

  /** Hangs up on all, and takes the sockets away. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const port of this.#ports) port.close();
    this.#stack.dispose();
    await Promise.all(this.#running);
  }

  async #accept(listener: Deno.UnixListener, link: Link): Promise<void> {
    const served = new Set<Promise<void>>();
    let told = ""; // once, until it can again
    while (!this.#closed) {
      try {
        const conn = await listener.accept();
        if (this.#ports.size >= MAX_PORTS || this.#closed) {
          conn.close();
          throw new Error(NO_PORT);
        }
        told = "";
        const serving = this.#serve(this.#socketPort(conn, link), link);
        served.add(serving);
        serving.then(() => served.delete(serving));
      } catch (error) {
        if (this.#closed) break;
        const { message } = error as Error;
        if (message !== told) this.#log(`${link.what}: accept: ${message}`);
        told = message;
        await new Promise((done) => setTimeout(done, ACCEPT_PAUSE));
      }
    }
    await Promise.all(served);
  }

  #socketPort(conn: Deno.Conn, link: Link): Port {
    const port: Port = new SocketPort(
      conn,
      link,
      link.next++,
      (frame) => this.#forward(frame, port),
    );
    return port;
  }

  #plugIn(link: Link): PluggedIn {
    if (this.#closed) {
      throw new VireoError(`${link.what}: the switch is closed`);
    }
    if (this.#ports.size >= MAX_PORTS) {
      throw new VireoError(`${link.what}: ${NO_PORT}`);
    }
    const port: PlugPort = new PlugPort(
      link,
      link.next++,
      (frame) => this.#forward(frame, port),
    );
    void this.#serve(port, link);
    return {
      channel: port.end.channel,
      [Symbol.dispose]() {
        port.close();
        port.end[Symbol.dispose]();
      },
    };
  }

  /** Until the client has gone. */
  async #serve(port: Port, link: Link): Promise<void> {
    this.#ports.add(port);
    link.ports.add(port);
    const wrong = await port.run();
    if (wrong) this.#log(`${link.what}: ${wrong}: the client is hung up on`);
    port.close();
    this.#table.forget(port);
    this.#ports.delete(port);
    link.gone(port);
  }

  #capture(
    path: string | undefined,
    stack: DisposableStack,
    undo: DisposableStack,
  ): PcapFile | undefined {
    if (path === undefined) return undefined;
    const capture = new PcapFile(openPcap(path, stack, undo), this.#log);
    stack.defer(() => capture.close());
    return capture;
  }

  #forward(frame: Uint8Array, from: Port): void {
    // A group is nobody's source (§7.8).
    if ((frame[6]! & 1) === 0) this.#table.learn(addressAt(frame, 6), from);
    const to = isGroup(frame)
      ? undefined
      : this.#table.portOf(addressAt(frame, 0));
    if (to === from) return;
    if (to !== undefined) return to.send(frame);
    for (const port of this.#ports) if (port !== from) port.send(frame);
  }
}

class Link implements SwitchEnd {
  readonly ports = new Set<Port>();
  /** The number of the next port. */
  next = 0;
  readonly #before = { received: 0, sent: 0, lost: 0, dropped: 0 };

  constructor(
    readonly what: string,
    public shape: LinkShape,
    readonly pcap: PcapFile | undefined,
  ) {}

  get connected(): number {
    return this.ports.size;
  }

  get counts(): PortCounts {
    const sum = { ...this.#before };
    for (const { counts } of this.ports) add(sum, counts);
    return sum;
  }

  reshape(shape: LinkShape): void {
    this.shape = checkedShape(this.what, shape);
  }

  gone(port: Port): void {
    this.ports.delete(port);
    add(this.#before, port.counts);
  }
}

class SocketLink extends Link implements SwitchLink {
  path = "";
}

/** A link as a configuration has it: nothing of it is data. */
class LinkPlug extends Plug implements SwitchEnd {
  readonly #link: Link;
  readonly #plugIn: () => PluggedIn;

  constructor(link: Link, plugIn: () => PluggedIn) {
    super();
    this.#link = link;
    this.#plugIn = plugIn;
  }

  get connected(): number {
    return this.#link.connected;
  }

  get counts(): PortCounts {
    return this.#link.counts;
  }

  reshape(shape: LinkShape): void {
    this.#link.reshape(shape);
  }

  plugIn(): PluggedIn {
    return this.#plugIn();
  }
}

function add(sum: PortCounts, counts: PortCounts): void {
  sum.received += counts.received;
  sum.sent += counts.sent;
  sum.lost += counts.lost;
  sum.dropped += counts.dropped;
}

function listenUnix(path: string, what: string): Deno.UnixListener {
  const { length } = new TextEncoder().encode(path);
  if (length < 1 || length > UNIX_PATH_MAX || path.includes("\0")) {
    throw new VireoError(
      `${what}: a socket's path has 1 to ${UNIX_PATH_MAX} bytes`,
    );
  }
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new VireoError(
        `${what}: exists already; remove it if no switch uses it`,
      );
    }
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new VireoError(`${what}: ${(error as Error).message}`);
  }
}
