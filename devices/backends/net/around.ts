/**
 * A network backend around another one: what it doesn't change is the other's.
 *
 * @module
 */
import type { Frame, NetBackend } from "./backend.ts";

/** Closes the other, too. */
export abstract class NetAround implements NetBackend {
  readonly fd: number;
  readonly mtu: number;
  readonly offloads: boolean;
  readonly batch: number;
  abstract readonly results: Int32Array;
  /** The other. */
  protected readonly inner: NetBackend;

  /** Around `inner`. */
  constructor(inner: NetBackend) {
    this.inner = inner;
    this.fd = inner.fd;
    this.mtu = inner.mtu;
    this.offloads = inner.offloads;
    this.batch = inner.batch;
  }

  get unsent(): boolean {
    return this.inner.unsent ?? false;
  }

  get buffered(): boolean {
    return this.inner.buffered ?? false;
  }

  abstract send(frames: readonly Frame[], count: number): void;
  abstract receive(frame: Frame): number;

  setOffload(offload: number): boolean {
    return this.inner.setOffload(offload);
  }

  setInUse(on: boolean): boolean {
    return this.inner.setInUse?.(on) ?? false;
  }

  close(): void {
    this.inner.close();
  }
}
