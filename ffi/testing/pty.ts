/**
 * For tests: a terminal whose user is the test.
 *
 * @module
 */
import assert from "node:assert/strict";
import { ioctlBuffer } from "../ioctl.ts";
import { closeFd, Open, openFd } from "../file.ts";
import { libc } from "../libc.ts";
import { terminalMode } from "../termios.ts";
import { until } from "./until.ts";

const O_NOCTTY = 0o400;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
/** `ICANON` of c_lflag, which is the fourth word. */
const ICANON = 2;
const LOCAL = 3;

/** A pseudoterminal. */
export class Pty implements Disposable {
  /** The terminal, for programs to open. */
  readonly path: string;
  /** What has been shown on it. */
  shown = "";
  readonly #master: number;
  readonly #terminal: number;
  readonly #decoder = new TextDecoder();
  #hungUp = false;

  /** Makes one. */
  constructor() {
    const flags = Open.RDWR | Open.NONBLOCK | O_NOCTTY;
    this.#master = openFd("/dev/ptmx", flags, "pty");
    const number = new Int32Array(1);
    ioctlBuffer(this.#master, TIOCSPTLCK, number, "unlock pty");
    ioctlBuffer(this.#master, TIOCGPTN, number, "pty");
    this.path = `/dev/pts/${number[0]}`;
    this.#terminal = openFd(this.path, Open.RDWR | O_NOCTTY, "pty");
  }

  /** True when keys are passed on as they are typed. */
  get raw(): boolean {
    const mode = terminalMode(this.#terminal);
    assert.ok(mode);
    return (new Uint32Array(mode.buffer, 0, 4)[LOCAL]! & ICANON) === 0;
  }

  /** Types; what the terminal has no room for is not typed. */
  type(text: string): void {
    const bytes = new TextEncoder().encode(text);
    libc.write_u32(this.#master, bytes, bytes.length);
  }

  /** Reads what is shown until `text` is. */
  async shows(text: string): Promise<void> {
    const seen = () => {
      this.#read();
      return this.shown.includes(text);
    };
    await until(seen, `"${text}" on the terminal`, () => this.shown);
  }

  /** The user is gone. */
  hangUp(): void {
    if (!this.#hungUp) closeFd(this.#master);
    this.#hungUp = true;
  }

  /** Closes both ends. */
  [Symbol.dispose](): void {
    this.hangUp();
    closeFd(this.#terminal);
  }

  #read(): void {
    const bytes = new Uint8Array(4096);
    const count = libc.read_u32(this.#master, bytes, bytes.length);
    if (count < 1) return;
    this.shown += this.#decoder.decode(bytes.subarray(0, count), {
      stream: true,
    });
  }
}
