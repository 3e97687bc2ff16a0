/**
 * Who has connected to the API's socket. Deno tells no descriptors: they are
 * found by the socket's name, as proc(5) has it.
 *
 * @module
 */
import { type Peer, peerOf } from "../ffi/unix_socket.ts";

/** `/proc/net/unix`: state of a connected socket. */
const CONNECTED = "03";

/** The peers of one listening socket. */
export class Peers {
  readonly #path: string;
  #known: ReadonlySet<string> = new Set();

  /** @param path the socket's name, as it was bound */
  constructor(path: string) {
    this.#path = path;
  }

  /** Those that have connected since the last time that this was asked. */
  arrived(): Peer[] {
    try {
      return this.#arrived();
    } catch {
      return []; // without /proc nobody knows
    }
  }

  #arrived(): Peer[] {
    const ours = this.#sockets();
    const now = new Set<string>();
    const peers: Peer[] = [];
    for (const { name } of Deno.readDirSync("/proc/self/fd")) {
      const target = targetOf(name);
      if (!ours.has(target)) continue;
      now.add(target);
      if (!this.#known.has(target)) peers.push(peerOf(Number(name)));
    }
    this.#known = now;
    return peers;
  }

  /** Connected sockets of that name: `socket:[inode]`. */
  #sockets(): Set<string> {
    const lines = Deno.readTextFileSync("/proc/self/net/unix").split("\n");
    return new Set(lines.flatMap((line) => {
      const [, , , , , state, inode, ...path] = line.trim().split(/\s+/);
      const same = state === CONNECTED && path.join(" ") === this.#path;
      return same ? [`socket:[${inode}]`] : [];
    }));
  }
}

function targetOf(fd: string): string {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ""; // the one that the folder was read by
  }
}
