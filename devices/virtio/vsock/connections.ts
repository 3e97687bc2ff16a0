/**
 * The connections of a socket device: found by their ports, and in line for
 * their turn to send to the guest.
 *
 * @module
 */
import type { VsockConnection } from "./connection.ts";

/**
 * The most connections at once, with those that still name their port. With
 * what is kept for slow programs, 64 MiB at most.
 */
export const VSOCK_CONNECTIONS = 512;

/** Ports of host programs that reach for the guest: as Firecracker has them. */
const FIRST_HOST_PORT = 2 ** 30, LAST_HOST_PORT = 2 ** 31 - 1;

/** Connections. Finding and queueing allocate nothing. */
export class VsockConnections {
  /** How many wait for their turn. */
  waiting = 0;
  readonly #all = new Set<VsockConnection>();
  // By the host's port, then the guest's.
  readonly #named = new Map<number, Map<number, VsockConnection>>();
  readonly #line: (VsockConnection | undefined)[] = Array.from({
    length: VSOCK_CONNECTIONS,
  });
  #first = 0;
  #lastHostPort = LAST_HOST_PORT;

  /** No further connection has room. */
  get full(): boolean {
    return this.#all.size === VSOCK_CONNECTIONS;
  }

  /** Adds a connection, which may not have its ports yet. */
  add(connection: VsockConnection): void {
    this.#all.add(connection);
  }

  /** Makes a connection known by its ports. */
  name(connection: VsockConnection): void {
    const { hostPort, guestPort } = connection;
    const peers = this.#named.get(hostPort);
    if (peers) peers.set(guestPort, connection);
    else this.#named.set(hostPort, new Map([[guestPort, connection]]));
  }

  /** The connection between two ports. */
  find(hostPort: number, guestPort: number): VsockConnection | undefined {
    return this.#named.get(hostPort)?.get(guestPort);
  }

  /** Takes the ports away: they may be used again. */
  unname(connection: VsockConnection): void {
    const { hostPort, guestPort } = connection;
    const peers = this.#named.get(hostPort);
    if (peers?.get(guestPort) !== connection) return;
    peers.delete(guestPort);
    if (peers.size === 0) this.#named.delete(hostPort);
  }

  /** Removes a closed connection. */
  remove(connection: VsockConnection): void {
    this.unname(connection);
    this.#all.delete(connection);
    if (connection.queued) this.#leaveLine(connection);
  }

  /** A port of the host that no connection has. */
  freeHostPort(): number {
    do {
      this.#lastHostPort = this.#lastHostPort === LAST_HOST_PORT
        ? FIRST_HOST_PORT
        : this.#lastHostPort + 1;
    } while (this.#named.has(this.#lastHostPort));
    return this.#lastHostPort;
  }

  /** Puts a connection at the end of the line, once. */
  wait(connection: VsockConnection): void {
    if (connection.queued) return;
    connection.queued = true;
    const last = (this.#first + this.waiting++) % VSOCK_CONNECTIONS;
    this.#line[last] = connection;
  }

  /** Takes the first one out of the line, which must not be empty. */
  nextWaiting(): VsockConnection {
    const connection = this.#line[this.#first]!;
    this.#line[this.#first] = undefined;
    this.#first = (this.#first + 1) % VSOCK_CONNECTIONS;
    this.waiting--;
    connection.queued = false;
    return connection;
  }

  #leaveLine(connection: VsockConnection): void {
    const at = (place: number) => (this.#first + place) % VSOCK_CONNECTIONS;
    let place = 0;
    while (this.#line[at(place)] !== connection) place++;
    for (; place + 1 < this.waiting; place++) {
      this.#line[at(place)] = this.#line[at(place + 1)];
    }
    this.#line[at(--this.waiting)] = undefined;
    connection.queued = false;
  }

  /** Closes all connections, and forgets them. */
  closeAll(): void {
    for (const connection of this.#all) connection.close();
    this.#all.clear();
    this.#named.clear();
    this.#line.fill(undefined);
    this.waiting = 0;
  }
}
