/**
 * Descriptors that go through Unix sockets: `SCM_RIGHTS`, unix(7).
 *
 * @module
 */
import { check } from "./errno.ts";
import { libc } from "./libc.ts";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000, MSG_CMSG_CLOEXEC = 0x40000000;
/** `struct msghdr`, and a `struct cmsghdr` with room for one descriptor. */
const HEADER_SIZE = 56, CONTROL_SIZE = 24, CONTROL_LENGTH = 20;

/** `struct msghdr` over `bytes`, with what it points to. */
function messageOf(bytes: Uint8Array<ArrayBuffer>) {
  const control = new Uint8Array(CONTROL_SIZE);
  const iovec = BigUint64Array.of(addressOf(bytes), BigInt(bytes.length));
  const header = new Uint8Array(HEADER_SIZE);
  const view = new DataView(header.buffer);
  view.setBigUint64(16, addressOf(iovec), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, addressOf(control), true);
  view.setBigUint64(40, BigInt(CONTROL_SIZE), true);
  return { header, iovec, control: new DataView(control.buffer), view };
}

/** Of memory outside V8's heap, as all of these buffers are. */
function addressOf(buffer: BufferSource): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)));
}

/**
 * Sends `bytes` and a descriptor, which the other end gets a copy of.
 *
 * @throws {SystemError} the other end is gone
 */
export function sendWithFd(
  socket: number,
  bytes: Uint8Array<ArrayBuffer>,
  fd: number,
): void {
  const message = messageOf(bytes);
  message.control.setBigUint64(0, BigInt(CONTROL_LENGTH), true);
  message.control.setInt32(8, SOL_SOCKET, true);
  message.control.setInt32(12, SCM_RIGHTS, true);
  message.control.setInt32(16, fd, true);
  const sent = libc.sendmsg(socket, message.header, MSG_NOSIGNAL);
  check(sent, "sendmsg");
  message.iovec.at(0); // the buffers are of use until here
}

/**
 * What comes next, at most as many bytes as there is room for, and perhaps a
 * descriptor, which is the caller's from now on.
 *
 * @throws {SystemError} nothing has come yet (EAGAIN), or the socket is broken
 */
export function receiveWithFd(
  socket: number,
  room: Uint8Array<ArrayBuffer>,
): { size: number; fd: number | undefined } {
  const message = messageOf(room);
  const flags = MSG_CMSG_CLOEXEC;
  const size = check(libc.recvmsg(socket, message.header, flags), "recvmsg");
  const { control, view } = message;
  const has = Number(view.getBigUint64(40, true)) >= CONTROL_LENGTH &&
    control.getInt32(8, true) === SOL_SOCKET &&
    control.getInt32(12, true) === SCM_RIGHTS;
  message.iovec.at(0); // the buffers are of use until here
  return { size, fd: has ? control.getInt32(16, true) : undefined };
}
