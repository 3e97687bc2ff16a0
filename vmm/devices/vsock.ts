/**
 * Sockets: `vsock` in the configuration, `--vsock` on the command line.
 *
 * @module
 */
import type { FaultPlan } from "../../devices/faults/rules.ts";
import type { VsockData } from "../../devices/virtio/vsock/make.ts";
import { VireoError } from "../../ffi/error.ts";
import { twice } from "../config/schema/conflict.ts";
import { findingText } from "../config/schema/report.ts";
import {
  anything,
  integer,
  type Keys,
  list,
  module,
  object,
  onHost,
  optional,
  own,
  ownRequired,
  required,
  text,
} from "../config/schema/rule.ts";
import { vsockFaults } from "./faults.ts";
import type { Kind } from "./kind.ts";
import { didYouMean, splitWords } from "./words.ts";

/** Sockets between the guest and host programs. */
export interface Vsock {
  /** Means nothing; Firecracker has deprecated it. */
  vsock_id?: string;
  /** The guest's context id, 3 to 2^32 - 2: the others have other meanings. */
  guest_cid: number;
  /**
   * The Unix socket that is made for host programs: they write
   * `CONNECT <port>\n`. The guest reaches the one that listens on
   * `<uds_path>_<port>`.
   */
  uds_path: string;
  /** Modules that listen for the guest. */
  listeners?: VsockListener[];
  /** What happens to some connections and bytes; default nothing. */
  faults?: FaultPlan;
}

/** A module of the user's that the guest's sockets reach by a port. */
export interface VsockListener {
  /** The port, 0 to 2^32 - 1. */
  port: number;
  /** URL of a module: its default export is a class of {@linkcode ListenerModule}s. */
  backend: string;
  /** Passed to the constructor: plain data. */
  backend_options?: unknown;
}

const LISTENER: Keys<VsockListener> = {
  port: ownRequired(integer(0, 4_294_967_295), "The port."),
  backend: ownRequired(module, "A module that gets its connections."),
  backend_options: own(onHost(anything), "Passed to its constructor."),
};

const VSOCK_KEYS: Keys<Vsock> = {
  vsock_id: optional(text, "Means nothing; Firecracker has deprecated it."),
  guest_cid: required(integer(3, 4_294_967_294), "The guest's context id."),
  uds_path: required(
    onHost(text),
    "The Unix socket that is made for host programs. The guest reaches those " +
      "that listen on this path, `_`, and a port.",
  ),
  listeners: own(
    list(object<VsockListener>(LISTENER)),
    "Modules that listen for the guest, see docs/lab.md.",
  ),
  faults: own(vsockFaults, "What happens to some connections and bytes."),
};

/** Bytes that a port adds to a path, at most. */
const PORT_MAX = byteLength("_4294967295");

const VSOCK_WORDS = ["cid=N", "uds=PATH"];

/** Not a literal in `import()`: that is read at the start, needed or not. */
const UNIX_SOCKET = new URL("../../ffi/unix_socket.ts", import.meta.url).href;

/** At most one. */
export const VSOCK: Kind<Vsock, Vsock, VsockData> & { list: false } = {
  list: false,
  order: 30,
  about: "Sockets between host and guest.",
  status: "honoured",
  rule: object<Vsock>(VSOCK_KEYS),
  make: new URL("../../devices/virtio/vsock/make.ts", import.meta.url),
  early: ({ listeners = [] }) => listeners.length > 0,

  conflicts: ([vsock]) =>
    twice(
      "vsock.listeners",
      "port",
      (vsock?.listeners ?? []).map(({ port }) => `${port}`),
    ),

  async open({ guest_cid: cid, uds_path, listeners = [], faults }, stack) {
    const { UNIX_PATH_MAX, UnixListener }:
      typeof import("../../ffi/unix_socket.ts") = await import(UNIX_SOCKET);
    const { fd, path, name } = stack.use(new UnixListener(uds_path, "vsock"));
    // Absolute, so that a chdir makes no difference, if that is not too long.
    const fits = byteLength(path) + PORT_MAX <= UNIX_PATH_MAX;
    const sockets = { fd, path: fits ? path : uds_path };
    const data = { cid, sockets, ...(faults && { faults }) };
    const ofOwn = listeners.length > 0 && {
      own: true,
      data: {
        ...data,
        listeners: listeners.map(({ port, backend, backend_options }) => {
          return { port, module: backend, options: backend_options };
        }),
      },
    };
    return { name: "vsock", data, names: [name], ...ofOwn };
  },

  options: {
    rows: [{
      flags: "--vsock <socket>",
      about: "sockets: cid=3,uds=PATH",
      values: VSOCK_WORDS,
      words: VSOCK_WORDS,
    }],
    read: ({ vsock }: { vsock?: string }) =>
      vsock === undefined ? undefined : parseVsock(vsock),
    texts: {
      "guest_cid": (finding) => `vsock: cid ${findingText(finding)}`,
    },
  },
};

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/**
 * Sockets from `cid=N,uds=PATH`.
 *
 * @throws {VireoError} when one of them is missing, or a key unknown
 */
function parseVsock(text: string): Vsock {
  const words = splitWords(text);
  const wrong = words.find((word) => !/^(cid=\d+|uds=.+)$/s.test(word));
  const value = (key: string) =>
    words.find((word) => word.startsWith(key))?.slice(key.length);
  const uds_path = value("uds=");
  if (wrong === undefined && uds_path !== undefined) {
    return { guest_cid: Number(value("cid=") ?? 3), uds_path };
  }
  throw new VireoError(
    `--vsock ${text}: not of the form cid=3,uds=PATH` +
      didYouMean(wrong ?? "", VSOCK_WORDS),
  );
}
