/**
 * The i8042 keyboard controller of a PC, with a keyboard on which somebody
 * presses Ctrl, Alt and Delete, and nothing else. It also pulses the CPU's reset
 * line, which is how Linux reboots a PC (`reboot=k`).
 *
 * Commands are those of the IBM PC AT's technical reference, "Keyboard
 * Controller"; names those of Linux's include/linux/i8042.h. Its buffer has room
 * for several presses, as a guest that has no driver for it never reads one.
 *
 * @module
 */
import { type Bus, ByteDevice } from "../bus.ts";
import { SharedLock } from "../runtime/shared_lock.ts";
import { signalEventFd } from "../../ffi/eventfd.ts";
import { Port } from "../../guest/layout.ts";

/** Each of the two ports has a device of its own, for there is a gap. */
const PORTS = 1;

/** Bytes that wait for the guest. */
const ROOM = 16;

/** What is where in the shared state, a word each. */
const Word = {
  LOCK: 0,
  CONTROL: 1,
  OUTPUT_PORT: 2,
  COMMAND: 3,
  HEAD: 4,
  COUNT: 5,
  BYTES: 6,
} as const;

/** Status register: a byte waits; self-test passed; keyboard not inhibited. */
const OUTPUT_FULL = 0x01;
const IDLE = 0x14;

/**
 * Control register: interrupts for the keyboard; self-test passed. Codes aren't
 * translated: they are those of set 2.
 */
const KEYBOARD_INTERRUPT = 0x01;
const CONTROL = 0x05;

/** Commands of port 0x64. */
const Command = {
  READ_CONTROL: 0x20,
  WRITE_CONTROL: 0x60,
  MOUSE_TEST: 0xa9,
  SELF_TEST: 0xaa,
  KEYBOARD_TEST: 0xab,
  READ_OUTPUT_PORT: 0xd0,
  WRITE_OUTPUT_PORT: 0xd1,
  MOUSE_LOOP: 0xd3,
} as const;

const SELF_TEST_PASSED = 0x55;
const KEYBOARD_PASSED = 0x00;
/** The clock's line is low: there is no mouse. Without an answer Linux waits. */
const NO_MOUSE = 0x01;
/** What the keyboard answers to all that it is told. */
const ACKNOWLEDGED = 0xfa;

/**
 * Commands 0xF0 to 0xFF pulse the output lines whose bit is 0; line 0 is the
 * CPU's reset.
 */
const PULSE = 0xf0;
const PULSE_RESET = 0x01;

/** Left Ctrl, left Alt, Delete: pressed, and held. */
const CTRL_ALT_DELETE: readonly number[] = [0x14, 0x11, 0xe0, 0x71];

/** What the controller asks of the machine. */
export interface I8042Hooks {
  /** The guest wants the machine reset. */
  reset(): void;
}

/** What the threads share of the controller. */
export interface SharedI8042 {
  /** Its registers. */
  readonly state: SharedArrayBuffer;
  /** Its interrupt's eventfd; undefined: it has none. */
  readonly irqFd: number | undefined;
}

/** One isolate's controller on the shared state. */
export class I8042 {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #lock: SharedLock;
  readonly #irqFd: number | undefined;

  /** Registers as firmware leaves them, and the interrupt's eventfd. */
  static share(irqFd?: number): SharedI8042 {
    const state = new SharedArrayBuffer(4 * (Word.BYTES + ROOM));
    new Int32Array(state)[Word.CONTROL] = CONTROL;
    return { state, irqFd };
  }

  /** Nobody holds the lock, whatever was saved. */
  static freeLock(state: SharedArrayBuffer): void {
    new Int32Array(state)[Word.LOCK] = 0;
  }

  /** The controller on what {@linkcode I8042.share} made. */
  constructor({ state, irqFd }: SharedI8042) {
    this.#words = new Int32Array(state);
    this.#lock = new SharedLock(this.#words, Word.LOCK);
    this.#irqFd = irqFd;
  }

  /** Presses Ctrl, Alt and Delete; false: what was pressed before waits. */
  pressCtrlAltDelete(): boolean {
    return this.#locked(() => {
      if (ROOM - this.#count < CTRL_ALT_DELETE.length) return false;
      for (const code of CTRL_ALT_DELETE) this.#push(code);
      this.#interrupt();
      return true;
    });
  }

  /** Port 0x64, read. */
  status(): number {
    return this.#locked(() => IDLE | (this.#count > 0 ? OUTPUT_FULL : 0));
  }

  /** Port 0x60, read: what has waited longest. */
  read(): number {
    return this.#locked(() => {
      const words = this.#words;
      if (this.#count === 0) return 0;
      const head = words[Word.HEAD]! & ROOM - 1;
      const byte = words[Word.BYTES + head]! & 0xff;
      words[Word.HEAD] = head + 1 & ROOM - 1;
      words[Word.COUNT] = this.#count - 1;
      if (this.#count > 0) this.#interrupt();
      return byte;
    });
  }

  /** Port 0x64, written. */
  command(value: number): void {
    this.#locked(() => {
      switch (value) {
        case Command.READ_CONTROL:
          return this.#answer(this.#words[Word.CONTROL]! & 0xff);
        case Command.READ_OUTPUT_PORT:
          return this.#answer(this.#words[Word.OUTPUT_PORT]! & 0xff);
        case Command.SELF_TEST:
          return this.#answer(SELF_TEST_PASSED);
        case Command.KEYBOARD_TEST:
          return this.#answer(KEYBOARD_PASSED);
        case Command.MOUSE_TEST:
          return this.#answer(NO_MOUSE);
        case Command.WRITE_CONTROL:
        case Command.MOUSE_LOOP:
        case Command.WRITE_OUTPUT_PORT:
          this.#words[Word.COMMAND] = value;
      }
    });
  }

  /** Port 0x60, written: a command's data, or a word to the keyboard. */
  write(value: number): void {
    this.#locked(() => {
      const words = this.#words;
      const command = words[Word.COMMAND];
      words[Word.COMMAND] = 0;
      if (command === Command.WRITE_CONTROL) words[Word.CONTROL] = value;
      else if (command === Command.WRITE_OUTPUT_PORT) {
        words[Word.OUTPUT_PORT] = value;
      } else if (command === Command.MOUSE_LOOP) {
        this.#answer(value); // and no bit says that it is a mouse's
      } else {
        this.#answer(ACKNOWLEDGED);
        this.#interrupt();
      }
    });
  }

  /** Whatever stands in the state, it is no more than there is room for. */
  get #count(): number {
    return Math.min(this.#words[Word.COUNT]! >>> 0, ROOM);
  }

  #push(byte: number): void {
    const end = this.#words[Word.HEAD]! + this.#count & ROOM - 1;
    this.#words[Word.BYTES + end] = byte;
    this.#words[Word.COUNT] = this.#count + 1;
  }

  /** In the place of all that waits. */
  #answer(byte: number): void {
    this.#words[Word.COUNT] = 0;
    this.#push(byte);
  }

  #interrupt(): void {
    const enabled = this.#words[Word.CONTROL]! & KEYBOARD_INTERRUPT;
    if (enabled && this.#irqFd !== undefined) signalEventFd(this.#irqFd);
  }

  #locked<T>(action: () => T): T {
    this.#lock.acquire();
    try {
      return action();
    } finally {
      this.#lock.release();
    }
  }
}

/** Port 0x64: status and commands. */
export class I8042Command extends ByteDevice {
  readonly #chip: I8042;
  readonly #hooks: I8042Hooks;

  /** The port of `chip`. */
  constructor(chip: I8042, hooks: I8042Hooks) {
    super();
    this.#chip = chip;
    this.#hooks = hooks;
  }

  override readByte(_offset: number): number {
    return this.#chip.status();
  }

  /** A reset pulse, or a command. */
  override writeByte(_offset: number, value: number): void {
    if ((value & PULSE) !== PULSE) this.#chip.command(value);
    else if ((value & PULSE_RESET) === 0) this.#hooks.reset();
  }
}

/** Port 0x60: data. */
export class I8042Data extends ByteDevice {
  readonly #chip: I8042;

  /** The port of `chip`. */
  constructor(chip: I8042) {
    super();
    this.#chip = chip;
  }

  override readByte(_offset: number): number {
    return this.#chip.read();
  }

  override writeByte(_offset: number, value: number): void {
    this.#chip.write(value);
  }
}

/** Puts both ports on a bus. */
export function addI8042(
  ports: Bus,
  shared: SharedI8042,
  hooks: I8042Hooks,
): void {
  const chip = new I8042(shared);
  ports.add(Port.I8042_DATA, PORTS, new I8042Data(chip));
  ports.add(Port.I8042_COMMAND, PORTS, new I8042Command(chip, hooks));
}
