/**
 * Frames through a TAP of the host.
 *
 * @module
 */
import { errno, SystemError } from "../../ffi/errno.ts";
import { libc } from "../../ffi/symbols.ts";
import { setTapOffload, type Tap } from "../../ffi/tap.ts";
import type { NetBackend } from "./backend.ts";

/** A backend on an open TAP; the descriptor stays its owner's. */
export class TapBackend implements NetBackend {
  /** See {@linkcode NetBackend.fd}. */
  readonly fd: number;
  /** See {@linkcode NetBackend.mtu}. */
  readonly mtu: number;

  /** Frames come from and go to `tap`. */
  constructor(tap: Tap) {
    this.fd = tap.fd;
    this.mtu = tap.mtu;
  }

  /** See {@linkcode NetBackend.send}. */
  send(iovecs: Deno.PointerValue, count: number): number {
    const sent = libc.writev(this.fd, iovecs, count);
    return sent < 0 ? -errno() : sent;
  }

  /** See {@linkcode NetBackend.receive}. */
  receive(iovecs: Deno.PointerValue, count: number): number {
    const received = libc.readv(this.fd, iovecs, count);
    return received < 0 ? -errno() : received;
  }

  /** See {@linkcode NetBackend.setOffload}. */
  setOffload(offload: number): boolean {
    try {
      setTapOffload(this.fd, offload);
      return true;
    } catch (error) {
      if (error instanceof SystemError) return false;
      throw error;
    }
  }
}
