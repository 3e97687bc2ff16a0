/**
 * Stream sockets with a name in the file system (unix(7)), without blocking.
 *
 * @module
 */
import { check, Errno, errno, SystemError, VireoError } from "./errno.ts";
import { closeFd, cString } from "./file.ts";
import { libc } from "./libc.ts";
import { OwnName } from "./own_name.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** Clients that wait until they are accepted. */
const BACKLOG = 128;

/** The longest path of a socket in bytes: `sun_path` less its zero. */
export const UNIX_PATH_MAX = 107;

/** How to shut a socket down: `SHUT_*`. */
export const Shut = { READ: 0, WRITE: 1 } as const;

/** A socket with a name, which clients can connect to. */
export class UnixListener implements Disposable {
  /** The descriptor. */
  readonly fd: number;
  /** Its name. */
  readonly name: OwnName;
  readonly #made: DisposableStack;

  /**
   * Makes the socket.
   *
   * @param what names the object in errors: `vsock`, ...
   * @throws {VireoError} the path exists, is too long, or its folder is not
   *   there
   */
  constructor(path: string, what: string) {
    const address = socketAddress(path);
    if (address === undefined) {
      throw new VireoError(
        `${what} "${path}": a socket's path has 1 to ${UNIX_PATH_MAX} bytes`,
      );
    }
    using undo = new DisposableStack(); // unless clients can connect
    this.fd = undo.adopt(unixSocket(), closeFd);
    if (libc.bind(this.fd, address, address.length) < 0) {
      const code = errno();
      if (code === Errno.EADDRINUSE) {
        throw new VireoError(
          `${what} "${path}": exists already; remove it if no machine uses it`,
        );
      }
      throw new SystemError(`${what}: make socket "${path}"`, code);
    }
    this.name = undo.use(new OwnName(path));
    check(
      libc.listen(this.fd, BACKLOG),
      () => `${what}: listen on "${path}"`,
    );
    this.#made = undo.move();
  }

  /** The name as a path, absolute. */
  get path(): string {
    return this.name.path;
  }

  /** Removes the name, and closes the socket. */
  [Symbol.dispose](): void {
    this.#made.dispose();
  }
}

/** The next client of a listening socket, or -errno. */
export function acceptUnix(listener: number): number {
  const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = libc.accept4(listener, null, null, flags);
  return fd < 0 ? -errno() : fd;
}

/**
 * A socket that is connected to `path`, or -errno: nobody listens there, or
 * too many wait already (EAGAIN).
 */
export function connectUnix(path: string): number {
  const fd = unixSocket();
  const code = connectSocket(fd, path);
  if (code === 0) return fd;
  closeFd(fd);
  return -code;
}

/** Connects a socket that {@linkcode unixSocket} made: 0, or an errno. */
export function connectSocket(fd: number, path: string): number {
  const address = socketAddress(path);
  if (address === undefined) return Errno.EINVAL;
  return libc.connect(fd, address, address.length) === 0 ? 0 : errno();
}

/** Two sockets, each the other's other end. They don't block. */
export function socketPair(): [number, number] {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const pair = new Int32Array(2);
  check(libc.socketpair(AF_UNIX, type, 0, pair), "socketpair");
  return [pair[0]!, pair[1]!];
}

/** Who is at a socket's other end. */
export interface Peer {
  /** The process that has connected, or that listens. */
  pid: number;
  /** Its user then. */
  uid: number;
}

/** Who has connected, as the kernel knows it: `SO_PEERCRED`, unix(7). */
export function peerOf(fd: number): Peer {
  const credentials = new Uint32Array(3); // struct ucred
  const length = Uint32Array.of(credentials.byteLength);
  check(
    libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length),
    "getsockopt SO_PEERCRED",
  );
  const [pid, uid] = credentials as unknown as [number, number];
  return { pid, uid };
}

/** Shuts one direction down for good. */
export function shutdownSocket(fd: number, how: number): void {
  libc.shutdown(fd, how);
}

/** A socket that is not connected yet. */
export function unixSocket(): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return check(libc.socket(AF_UNIX, type, 0), "socket");
}

/** `struct sockaddr_un`, or undefined when the path doesn't fit. */
function socketAddress(path: string): Uint8Array<ArrayBuffer> | undefined {
  const name = cString(path);
  // A zero in the middle would end the path early.
  if (name.length > UNIX_PATH_MAX + 1 || name.indexOf(0) !== name.length - 1) {
    return undefined;
  }
  if (name.length === 1) return undefined;
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(name, 2);
  return address;
}
