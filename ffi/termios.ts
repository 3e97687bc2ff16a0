/**
 * The mode of a terminal, termios(3), by the kernel's ioctls: glibc's functions
 * wait for output that nobody may read.
 *
 * @module
 */
import { libc } from "./libc.ts";

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCGPGRP = 0x540f;

/** Bytes of the kernel's `struct termios`. */
const TERMIOS_SIZE = 36;
// Its words: c_iflag, c_oflag, c_cflag, c_lflag; then c_line and c_cc.
const INPUT = 0;
const CONTROL = 2;
const LOCAL = 3;
const CC = 17;
const VTIME = 5;
const VMIN = 6;

/** `BRKINT | INPCK | ISTRIP | ICRNL | IXON` */
const COOKED_INPUT = 0o2 | 0o20 | 0o40 | 0o400 | 0o2000;
/** `ISIG | ICANON | ECHO | IEXTEN` */
const COOKED_LOCAL = 0o1 | 0o2 | 0o10 | 0o100000;
const CS8 = 0o60;

/** A terminal's mode, as the kernel has it. */
export type TerminalMode = Uint8Array<ArrayBuffer>;

/** The mode of the terminal; undefined when it is none, or has hung up. */
export function terminalMode(fd: number): TerminalMode | undefined {
  const mode = new Uint8Array(TERMIOS_SIZE);
  return libc.ioctl_buffer(fd, TCGETS, mode) === 0 ? mode : undefined;
}

/** Sets it, at once. What has hung up has none. */
export function setTerminalMode(fd: number, mode: TerminalMode): void {
  libc.ioctl_buffer(fd, TCSETS, mode);
}

/** `mode` with every key as it is typed; what is written is still treated. */
export function rawMode(mode: TerminalMode): TerminalMode {
  const raw = mode.slice();
  const flags = new Uint32Array(raw.buffer, 0, 4);
  flags[INPUT]! &= ~COOKED_INPUT;
  flags[CONTROL]! |= CS8;
  flags[LOCAL]! &= ~COOKED_LOCAL;
  raw[CC + VMIN] = 1;
  raw[CC + VTIME] = 0;
  return raw;
}

/** False when another group of processes has the terminal at present. */
export function inForeground(fd: number): boolean {
  const group = new Int32Array(1);
  const known = libc.ioctl_buffer(fd, TIOCGPGRP, group) === 0;
  return !known || group[0] === libc.getpgrp();
}
