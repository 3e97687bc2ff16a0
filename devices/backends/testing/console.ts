/**
 * For tests: the other end of a console port, in memory.
 *
 * @module
 */
import type { ConsoleBackend } from "../console/backend.ts";

/** A backend that keeps what the guest writes, and gives what it is told to. */
export class MemoryConsole implements ConsoleBackend {
  connected = true;
  /** What the guest has written. */
  written = "";
  /** Input that the guest has not taken. */
  input = "";
  /** Bytes that may be written before there is no room. */
  room = Infinity;
  /** {@linkcode ConsoleBackend.close} was called. */
  closed = false;
  #changed: () => void = () => {};

  attach(_loop: unknown, changed: () => void): void {
    this.#changed = changed;
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (!this.connected) return end - start;
    const count = Math.min(end - start, this.room);
    this.room -= count;
    for (let i = 0; i < count; i++) {
      this.written += String.fromCharCode(bytes[start + i]!);
    }
    return count;
  }

  read(bytes: Uint8Array, start: number, end: number): number {
    const count = Math.min(end - start, this.input.length);
    for (let i = 0; i < count; i++) {
      bytes[start + i] = this.input.charCodeAt(i);
    }
    this.input = this.input.slice(count);
    return count;
  }

  /** Something has changed: the port looks. */
  changed(): void {
    this.#changed();
  }

  /** Input comes. */
  type(text: string): void {
    this.input += text;
    this.#changed();
  }

  /** Somebody comes, or goes. */
  connect(connected: boolean): void {
    this.connected = connected;
    this.#changed();
  }

  close(): void {
    this.closed = true;
  }
}
