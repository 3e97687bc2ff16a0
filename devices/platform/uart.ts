/**
 * The 16550A chip as a state machine on shared words: registers, FIFOs and
 * interrupt sources, without locks, threads and interrupt lines. `serial.ts`
 * puts it into a machine, and says what differs from the chip.
 *
 * § are sections of the PC16550D data sheet.
 *
 * @module
 */
import {
  Fcr,
  FIFO_DEPTH,
  Ier,
  Iir,
  Lcr,
  Lsr,
  Mcr,
  Msr,
  Reg,
  TRIGGER_LEVELS,
} from "./serial_registers.ts";
import {
  CONNECTED,
  RING_CAPACITY,
  type SerialState,
  SerialWord,
} from "./serial_state.ts";

export { Reg, SERIAL_PORTS } from "./serial_registers.ts";
export { SerialState, SerialWord } from "./serial_state.ts";

/** Interrupt sources, as a set of bits. */
const Source = {
  LINE_STATUS: 1,
  RX_DATA: 2,
  RX_TIMEOUT: 4,
  THR_EMPTY: 8,
  MODEM_STATUS: 16,
} as const;

/** So many reads of LSR in a row, with all interrupts off, are polling. */
const POLLING_READS = 64;

/**
 * One isolate's chip on the shared state. An access is `begin`, then any of
 * the other methods, then a look at `edge` and `takeInputRoom`; the caller
 * holds the state's lock meanwhile.
 */
export class Uart {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #state: SerialState;
  /** Sources that were pending when the access began, less those it ended. */
  #pending = 0;
  #inputRoom = false;

  /** A chip on `state`. */
  constructor(state: SerialState) {
    this.#state = state;
    this.#words = state.words;
  }

  /** Begins an access. */
  begin(): void {
    this.#pending = this.#sources();
  }

  /** True when a source has become pending in this access. */
  get edge(): boolean {
    return (this.#sources() & ~this.#pending) !== 0;
  }

  /** True once when the waiting host input would fit by now. */
  takeInputRoom(): boolean {
    const room = this.#inputRoom;
    this.#inputRoom = false;
    return room;
  }

  /** True when a byte written to THR has no room in the output ring. */
  get outputFull(): boolean {
    return this.#state.output.free === 0 && !this.#latched() && !this.#loops();
  }

  /** Enabled interrupt sources that are pending (§8.6, §8.7). */
  #sources(): number {
    const words = this.#words;
    const ier = words[SerialWord.IER]!;
    if (ier === 0) return 0;
    let sources = 0;
    if (ier & Ier.RDI) {
      const received = this.#received();
      if (received >= words[SerialWord.RX_TRIGGER]!) sources |= Source.RX_DATA;
      else if (received > 0) sources |= Source.RX_TIMEOUT;
    }
    if (ier & Ier.THRI && words[SerialWord.THR_EMPTIED]) {
      sources |= Source.THR_EMPTY;
    }
    if (ier & Ier.RLSI && words[SerialWord.LSR_ERRORS]) {
      sources |= Source.LINE_STATUS;
    }
    if (ier & Ier.MSI && words[SerialWord.MSR]! & Msr.DELTAS) {
      sources |= Source.MODEM_STATUS;
    }
    return sources;
  }

  /** A read of the register at `offset`. */
  read(offset: number): number {
    const words = this.#words;
    if (offset === Reg.LSR) return this.#readLineStatus();
    words[SerialWord.LSR_READS] = 0;
    switch (offset) {
      case Reg.DATA:
        return this.#latched() ? words[SerialWord.DLL]! : this.#receive();
      case Reg.IER:
        return this.#latched()
          ? words[SerialWord.DLM]!
          : words[SerialWord.IER]!;
      case Reg.IIR_FCR:
        return this.#identifyInterrupt();
      case Reg.LCR:
        return words[SerialWord.LCR]!;
      case Reg.MCR:
        return words[SerialWord.MCR]!;
      case Reg.MSR:
        return this.#readModemStatus();
      case Reg.SCR:
        return words[SerialWord.SCR]!;
      default:
        return 0xff;
    }
  }

  /**
   * A write of the register at `offset`; true when it put a byte into the
   * output ring.
   */
  write(offset: number, value: number): boolean {
    const words = this.#words;
    words[SerialWord.LSR_READS] = 0;
    switch (offset) {
      case Reg.DATA:
        if (!this.#latched()) return this.#transmit(value);
        words[SerialWord.DLL] = value;
        break;
      case Reg.IER:
        if (this.#latched()) words[SerialWord.DLM] = value;
        else this.#enableInterrupts(value & Ier.MASK);
        break;
      case Reg.IIR_FCR:
        this.#controlFifo(value);
        break;
      case Reg.LCR:
        words[SerialWord.LCR] = value;
        words[SerialWord.POLLED] = 0;
        break;
      case Reg.MCR:
        this.#controlModem(value & Mcr.MASK);
        break;
      case Reg.SCR:
        words[SerialWord.SCR] = value;
        break;
        // LSR is for factory tests only (§8.4), and so is MSR.
    }
    return false;
  }

  #latched(): boolean {
    return (this.#words[SerialWord.LCR]! & Lcr.DLAB) !== 0;
  }

  #loops(): boolean {
    return (this.#words[SerialWord.MCR]! & Mcr.LOOP) !== 0;
  }

  /** Bytes in the receiver FIFO. */
  #received(): number {
    return this.#words[SerialWord.RX_LOOPED]! +
      this.#words[SerialWord.RX_HOST]!;
  }

  /** RBR: takes the oldest byte out of the receiver FIFO. */
  #receive(): number {
    const words = this.#words;
    let byte = 0;
    if (words[SerialWord.RX_LOOPED]! > 0) {
      const head = words[SerialWord.LOOPED_HEAD]!;
      byte = this.#state.looped[head]!;
      words[SerialWord.LOOPED_HEAD] = (head + 1) % FIFO_DEPTH;
      words[SerialWord.RX_LOOPED]!--;
    } else if (words[SerialWord.RX_HOST]! > 0) {
      byte = this.#state.input.pop();
      words[SerialWord.RX_HOST]!--;
      this.#noticeInputRoom();
    } else {
      return 0;
    }
    // Reading restarts the timeout, so one that is pending is a new one (§8.11).
    this.#pending &= this.#sources() & ~Source.RX_TIMEOUT;
    // Only an empty FIFO is filled: so a driver that drains it in a loop and
    // gives up after a while has an edge coming, and is called again.
    if (this.#received() === 0) this.fillFromHost();
    return byte;
  }

  #noticeInputRoom(): void {
    const words = this.#words;
    if (words[SerialWord.INPUT_WAITING] === 0) return;
    if (this.#state.input.length > RING_CAPACITY / 2) return;
    words[SerialWord.INPUT_WAITING] = 0;
    this.#inputRoom = true;
  }

  /**
   * Moves host input into the receiver FIFO, if the guest listens: up to the
   * trigger level, so that a fast host looks to the guest like a guest in
   * time, and drivers that take one byte per interrupt get one for each.
   */
  fillFromHost(): void {
    const words = this.#words;
    if (this.#loops()) return;
    if (
      (words[SerialWord.IER]! & Ier.RDI) === 0 && words[SerialWord.POLLED] === 0
    ) return;
    const room = Math.max(
      words[SerialWord.RX_TRIGGER]! - words[SerialWord.RX_LOOPED]!,
      0,
    );
    words[SerialWord.RX_HOST] = Math.min(room, this.#state.input.length);
  }

  /** THR: sends a byte; true when it went to the host. */
  #transmit(byte: number): boolean {
    // The write ends the THRE interrupt; sending the byte begins a new one.
    this.#pending &= ~Source.THR_EMPTY;
    this.#words[SerialWord.THR_EMPTIED] = 1;
    if (!this.#loops()) return this.#state.output.push(byte);
    this.#loopBack(byte);
    return false;
  }

  /** §8.8, MCR bit 4: the transmitter feeds the receiver. */
  #loopBack(byte: number): void {
    const words = this.#words;
    const looped = this.#state.looped;
    const count = words[SerialWord.RX_LOOPED]!;
    const head = words[SerialWord.LOOPED_HEAD]!;
    if (count < words[SerialWord.RX_DEPTH]!) {
      looped[(head + count) % FIFO_DEPTH] = byte;
      words[SerialWord.RX_LOOPED] = count + 1;
      return;
    }
    // §8.4, LSR bit 1: without FIFO the new byte replaces the old one, with
    // FIFO the new byte is lost.
    words[SerialWord.LSR_ERRORS]! |= Lsr.OE;
    if (words[SerialWord.RX_DEPTH] === 1) looped[head] = byte;
  }

  #enableInterrupts(ier: number): void {
    const words = this.#words;
    // §8.7: THR is empty, so enabling its interrupt makes it pending, also
    // when IIR has been read before. Linux's THRE test relies on it.
    if (ier & ~words[SerialWord.IER]! & Ier.THRI) {
      words[SerialWord.THR_EMPTIED] = 1;
    }
    words[SerialWord.IER] = ier;
    words[SerialWord.POLLED] = 0;
    this.fillFromHost();
  }

  /** IIR: the pending source of the highest priority (§8.6). */
  #identifyInterrupt(): number {
    const words = this.#words;
    const fifo = words[SerialWord.RX_DEPTH] === 1 ? 0 : Iir.FIFO_ENABLED;
    const sources = this.#sources();
    if (sources & Source.LINE_STATUS) return fifo | Iir.LINE_STATUS;
    if (sources & Source.RX_DATA) return fifo | Iir.RX_DATA;
    if (sources & Source.RX_TIMEOUT) return fifo | Iir.RX_TIMEOUT;
    if (sources & Source.THR_EMPTY) {
      words[SerialWord.THR_EMPTIED] = 0;
      return fifo | Iir.THR_EMPTY;
    }
    if (sources & Source.MODEM_STATUS) return fifo | Iir.MODEM_STATUS;
    return fifo | Iir.NONE;
  }

  #controlFifo(value: number): void {
    const words = this.#words;
    const enable = (value & Fcr.ENABLE) !== 0;
    const depth = enable ? FIFO_DEPTH : 1;
    // §8.5: the other bits are only programmed together with bit 0, and a
    // change of bit 0 clears the FIFOs.
    const changes = depth !== words[SerialWord.RX_DEPTH];
    words[SerialWord.RX_DEPTH] = depth;
    words[SerialWord.RX_TRIGGER] = enable
      ? TRIGGER_LEVELS[value >> Fcr.TRIGGER_SHIFT]!
      : 1;
    words[SerialWord.POLLED] = 0;
    if (changes || (enable && value & Fcr.CLEAR_RX)) this.#clearReceiver();
  }

  #clearReceiver(): void {
    this.#words[SerialWord.RX_LOOPED] = 0;
    this.#words[SerialWord.RX_HOST] = 0;
    this.#pending &= this.#sources();
    this.fillFromHost();
  }

  #controlModem(mcr: number): void {
    const words = this.#words;
    words[SerialWord.MCR] = mcr;
    words[SerialWord.POLLED] = 0;
    this.#setModemLines(this.#loops() ? loopedLines(mcr) : CONNECTED);
    // The cable is off in loopback; what came through it waits in its ring.
    if (this.#loops()) words[SerialWord.RX_HOST] = 0;
    else this.fillFromHost();
  }

  /** §8.9: a change of a line sets its delta bit. */
  #setModemLines(lines: number): void {
    const words = this.#words;
    const old = words[SerialWord.MSR]!;
    const changed = old ^ lines;
    let deltas = old & Msr.DELTAS;
    if (changed & Msr.CTS) deltas |= Msr.DCTS;
    if (changed & Msr.DSR) deltas |= Msr.DDSR;
    if (changed & old & Msr.RI) deltas |= Msr.TERI;
    if (changed & Msr.DCD) deltas |= Msr.DDCD;
    words[SerialWord.MSR] = lines | deltas;
  }

  #readModemStatus(): number {
    const msr = this.#words[SerialWord.MSR]!;
    this.#words[SerialWord.MSR] = msr & ~Msr.DELTAS;
    return msr;
  }

  /** §8.4; reading clears the error bits. */
  #readLineStatus(): number {
    const words = this.#words;
    const reads = words[SerialWord.LSR_READS]! + 1;
    words[SerialWord.LSR_READS] = reads;
    if (reads >= POLLING_READS && words[SerialWord.IER] === 0) {
      words[SerialWord.LSR_READS] = 0;
      words[SerialWord.POLLED] = 1;
      if (this.#received() === 0) this.fillFromHost();
    } else if (words[SerialWord.POLLED] && this.#received() === 0) {
      this.fillFromHost();
    }
    const errors = words[SerialWord.LSR_ERRORS]!;
    words[SerialWord.LSR_ERRORS] = 0;
    const ready = this.#received() > 0 ? Lsr.DR : 0;
    return Lsr.THRE | Lsr.TEMT | errors | ready;
  }
}

/** §8.8: in loopback the outputs of MCR drive the inputs of MSR. */
function loopedLines(mcr: number): number {
  return (mcr & Mcr.RTS ? Msr.CTS : 0) | (mcr & Mcr.DTR ? Msr.DSR : 0) |
    (mcr & Mcr.OUT1 ? Msr.RI : 0) | (mcr & Mcr.OUT2 ? Msr.DCD : 0);
}
