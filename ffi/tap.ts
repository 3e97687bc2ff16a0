/**
 * TAP: a network interface of the host whose frames a process reads and
 * writes (Documentation/networking/tuntap.rst), with the virtio-net header.
 *
 * @module
 */
import { check, Errno, errno, SystemError, VireoError } from "./errno.ts";
import { closeFd, cString, Open, openFd } from "./file.ts";
import { _IOW, ioctlBuffer, ioctlValue } from "./ioctl.ts";
import { libc } from "./libc.ts";

const SYS_READV = 19;
/** Looked up once: it is called for each frame. */
let readv: typeof libc.readv_call | undefined;

const TUN_TYPE = 0x54;
const TUNSETIFF = _IOW(TUN_TYPE, 202, 4);
const TUNSETOFFLOAD = _IOW(TUN_TYPE, 208, 4);
const TUNSETQUEUE = _IOW(TUN_TYPE, 217, 4);
const TUNSETVNETHDRSZ = _IOW(TUN_TYPE, 216, 4);
const SIOCGIFMTU = 0x8921;

const IFF_TAP = 0x0002;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_ATTACH_QUEUE = 0x0200;
const IFF_DETACH_QUEUE = 0x0400;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

// struct ifreq: char name[16], then a union.
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;
const CLONE_NEWNET = 0x4000_0000;

/** `TUN_F_*`: what the guest accepts in received frames. */
export const TapOffload = {
  CSUM: 0x01,
  TSO4: 0x02,
  TSO6: 0x04,
  TSO_ECN: 0x08,
} as const;

/** Where a TAP is. */
export interface TapOptions {
  /** The interface's name, at most 15 bytes; `%d` is not special. */
  name: string;
  /** A named network namespace, as `ip netns add` makes them. */
  netns?: string;
  /** Bytes of the virtio-net header before each frame. */
  headerSize: number;
  /** One of several queues: the TAP was made with `multi_queue`. */
  multiQueue?: boolean;
}

/** An open TAP, or one of its queues. */
export interface Tap {
  /** Non-blocking descriptor: one read or write per frame. */
  fd: number;
  /** The interface's MTU in bytes. */
  mtu: number;
}

/**
 * Attaches to the TAP `name`, which must exist.
 *
 * @throws {VireoError} EBUSY, EPERM, no such TAP or namespace, bad name
 */
export function openTap(options: TapOptions): Tap {
  const { name, netns } = options;
  if (!/^[^\s/%]{1,15}$/.test(name)) {
    throw new VireoError(
      `network: "${name}" can't be an interface's name (1 to 15 bytes)`,
    );
  }
  return netns === undefined
    ? attach(options)
    : inNamespace(netns, () => attach(options));
}

/**
 * Takes one queue of a TAP into use, or out of it: the host then sends no
 * frames its way, and polling the descriptor reports an error.
 */
export function setTapQueue(fd: number, on: boolean): void {
  const request = interfaceRequest("");
  setFlags(request, on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
  ioctlBuffer(fd, TUNSETQUEUE, request, "TUNSETQUEUE");
}

/** Tells the kernel which `TapOffload`s the guest accepts. */
export function setTapOffload(fd: number, offload: number): void {
  ioctlValue(fd, TUNSETOFFLOAD, offload, "TUNSETOFFLOAD");
}

/**
 * Reads one frame into `count` iovecs; its length, or -errno. What is longer
 * than they are is cut off, but counts.
 */
export function readTap(
  fd: number,
  iovecs: Deno.PointerValue,
  count: number,
): number {
  const read = (readv ??= libc.readv_call)(SYS_READV, fd, iovecs, count);
  return read < 0 ? -errno() : read;
}

function attach({ name, headerSize, multiQueue = false }: TapOptions): Tap {
  const fd = openFd("/dev/net/tun", Open.RDWR | Open.NONBLOCK, "TAP driver");
  try {
    // TUNSETIFF would make a missing one, without address or link.
    const mtu = interfaceMtu(name);
    let code = setInterface(fd, name, multiQueue);
    // Alone, a queue of several is as good as a TAP.
    if (code === Errno.EINVAL && !multiQueue) {
      code = setInterface(fd, name, true);
    }
    if (code !== 0) {
      const reason = advice(code, name, multiQueue);
      throw new SystemError(`attach to TAP "${name}"`, code, reason);
    }
    const size = new Int32Array([headerSize]);
    ioctlBuffer(fd, TUNSETVNETHDRSZ, size, "TUNSETVNETHDRSZ");
    return { fd, mtu };
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** `TUNSETIFF`: 0, or the error's number. */
function setInterface(fd: number, name: string, multiQueue: boolean): number {
  const request = interfaceRequest(name);
  const queues = multiQueue ? IFF_MULTI_QUEUE : 0;
  setFlags(request, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | queues);
  return libc.ioctl_buffer(fd, TUNSETIFF, request) < 0 ? errno() : 0;
}

function setFlags(request: Uint8Array<ArrayBuffer>, flags: number): void {
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
}

function advice(
  code: number,
  name: string,
  multiQueue: boolean,
): string | undefined {
  switch (code) {
    case Errno.EBUSY:
      return "another program uses this TAP";
    case Errno.EPERM:
      return "it takes CAP_NET_ADMIN, or a TAP made for you: " +
        "ip tuntap add NAME mode tap user $USER";
    case Errno.EINVAL:
      return multiQueue
        ? "for several queues, make it so: " +
          `ip tuntap add ${name} mode tap multi_queue`
        : "the interface exists and isn't a TAP";
  }
}

function interfaceRequest(name: string): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(IFREQ_SIZE);
  request.set(cString(name));
  return request;
}

function interfaceMtu(name: string): number {
  // Any socket of this namespace answers; a unix one needs no permission.
  const AF_UNIX = 1;
  const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
  const socket = check(libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0), "socket");
  try {
    const request = interfaceRequest(name);
    if (libc.ioctl_buffer(socket, SIOCGIFMTU, request) < 0) {
      const advice = `make it: ip tuntap add ${name} mode tap`;
      throw new SystemError(`TAP "${name}"`, errno(), advice);
    }
    return new DataView(request.buffer).getInt32(IFNAMSIZ, true);
  } finally {
    closeFd(socket);
  }
}

/** Runs `action` with this thread in the named network namespace. */
function inNamespace<T>(name: string, action: () => T): T {
  const own = openFd("/proc/thread-self/ns/net", Open.RDONLY, "namespace");
  try {
    const path = `/run/netns/${name}`;
    const other = openFd(path, Open.RDONLY, "network namespace");
    try {
      check(libc.setns(other, CLONE_NEWNET), `enter namespace "${name}"`);
    } finally {
      closeFd(other);
    }
    try {
      return action();
    } finally {
      check(libc.setns(own, CLONE_NEWNET), "leave the network namespace");
    }
  } finally {
    closeFd(own);
  }
}
