/**
 * The host's end of a guest's sockets, as Firecracker has it: one Unix socket
 * for programs that want to reach the guest, and one per port, named after the
 * first, where programs listen for the guest. It knows nothing of virtio.
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import { acceptUnix, connectUnix } from "../../../ffi/unix_socket.ts";
import { HostStream } from "./host_stream.ts";

/** A listening socket as plain data, to hand to the device worker. */
export interface UnixSocketsHandle {
  /** The listening descriptor; its owner closes it and removes the file. */
  fd: number;
  /** Its path; those where programs listen begin with it. */
  path: string;
}

/** Host programs that want something of the guest, and the other way round. */
export class UnixSockets {
  /** Becomes readable when {@linkcode UnixSockets.accept} has a stream. */
  readonly fd: number;
  readonly #path: string;

  /** On an open listening socket. */
  constructor({ fd, path }: UnixSocketsHandle) {
    this.fd = fd;
    this.#path = path;
  }

  /**
   * The next program that wants to reach the guest; it says the port in its
   * first line. Undefined when there is none, or no descriptor is left.
   */
  accept(): HostStream | undefined {
    for (;;) {
      const fd = acceptUnix(this.fd);
      if (fd >= 0) return new HostStream(fd);
      if (fd !== -Errno.EINTR && fd !== -Errno.ECONNABORTED) return undefined;
    }
  }

  /** The program that listens for `port`, or undefined when there is none. */
  connect(port: number): HostStream | undefined {
    const fd = connectUnix(`${this.#path}_${port}`);
    return fd < 0 ? undefined : new HostStream(fd);
  }
}
