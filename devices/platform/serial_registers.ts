/**
 * The registers of the 16550A, as in National Semiconductor's PC16550D data
 * sheet (June 1995); § are its sections.
 *
 * @module
 */

/** Register offsets (§8). */
export const Reg = {
  /** Receiver buffer (read), transmitter holding (write); DLAB: DLL. */
  DATA: 0,
  /** Interrupt enable; DLAB: DLM. */
  IER: 1,
  /** Interrupt identification (read), FIFO control (write). */
  IIR_FCR: 2,
  /** Line control. */
  LCR: 3,
  /** Modem control. */
  MCR: 4,
  /** Line status. */
  LSR: 5,
  /** Modem status. */
  MSR: 6,
  /** Scratch. */
  SCR: 7,
} as const;

/** Ports of the device. */
export const SERIAL_PORTS = 8;

/** Interrupt enable register (§8.7). */
export const Ier = {
  /** Received data available, and character timeout. */
  RDI: 0x01,
  /** Transmitter holding register empty. */
  THRI: 0x02,
  /** Receiver line status. */
  RLSI: 0x04,
  /** Modem status. */
  MSI: 0x08,
  /** Bits that exist; the others read as zero. */
  MASK: 0x0f,
} as const;

/** Interrupt identification register (§8.6). */
export const Iir = {
  /** Nothing is pending. */
  NONE: 0x01,
  /** Modem status: lowest priority. */
  MODEM_STATUS: 0x00,
  /** Transmitter holding register empty. */
  THR_EMPTY: 0x02,
  /** Received data available. */
  RX_DATA: 0x04,
  /** Receiver line status: highest priority. */
  LINE_STATUS: 0x06,
  /** Character timeout: data below the trigger level, and no more comes. */
  RX_TIMEOUT: 0x0c,
  /** The FIFOs are enabled. */
  FIFO_ENABLED: 0xc0,
} as const;

/** FIFO control register (§8.5). */
export const Fcr = {
  /** FIFOs on; the other bits only count when it is set. */
  ENABLE: 0x01,
  /** Empties the receiver FIFO. */
  CLEAR_RX: 0x02,
  /** Shift to the trigger level, an index into {@linkcode TRIGGER_LEVELS}. */
  TRIGGER_SHIFT: 6,
} as const;

/** Receiver FIFO trigger levels in bytes (§8.5). */
export const TRIGGER_LEVELS: readonly number[] = [1, 4, 8, 14];

/** Bytes in each FIFO. */
export const FIFO_DEPTH = 16;

/** Line control register (§8.1). */
export const Lcr = {
  /** Divisor latch access: offsets 0 and 1 are the baud rate divisor. */
  DLAB: 0x80,
} as const;

/** Modem control register (§8.8). */
export const Mcr = {
  /** Data terminal ready. */
  DTR: 0x01,
  /** Request to send. */
  RTS: 0x02,
  /** Auxiliary output 1. */
  OUT1: 0x04,
  /** Auxiliary output 2: gates the interrupt line on a PC. */
  OUT2: 0x08,
  /** Loopback. */
  LOOP: 0x10,
  /** Bits that exist; the others read as zero. */
  MASK: 0x1f,
} as const;

/** Line status register (§8.4). */
export const Lsr = {
  /** Data ready. */
  DR: 0x01,
  /** Overrun error. */
  OE: 0x02,
  /** Transmitter holding register empty. */
  THRE: 0x20,
  /** Transmitter empty. */
  TEMT: 0x40,
} as const;

/** Modem status register (§8.9). */
export const Msr = {
  /** CTS has changed. */
  DCTS: 0x01,
  /** DSR has changed. */
  DDSR: 0x02,
  /** RI went from active to inactive. */
  TERI: 0x04,
  /** DCD has changed. */
  DDCD: 0x08,
  /** The four bits above; reading the register clears them. */
  DELTAS: 0x0f,
  /** Clear to send. */
  CTS: 0x10,
  /** Data set ready. */
  DSR: 0x20,
  /** Ring indicator. */
  RI: 0x40,
  /** Data carrier detect. */
  DCD: 0x80,
} as const;
