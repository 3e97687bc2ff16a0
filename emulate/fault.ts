/**
 * Exceptions that an instruction raises in the guest.
 *
 * @module
 */

/** Exception vectors (SDM vol. 3, table 6-1). */
export const Vector = {
  DEBUG: 1,
  BREAKPOINT: 3,
  INVALID_OPCODE: 6,
  DEVICE_NOT_AVAILABLE: 7,
  STACK: 12,
  GENERAL_PROTECTION: 13,
  PAGE_FAULT: 14,
  X87: 16,
} as const;

/** #PF error code bits (SDM vol. 3, §4.7). */
export const PageFaultCode = { PRESENT: 1, WRITE: 2, USER: 4 } as const;

/** The instruction faults: the guest's handler is to see this. */
export class GuestFault extends Error {
  /** The class's name. */
  override name = "GuestFault";
  /** One of {@linkcode Vector}. */
  readonly vector: number;
  /** Pushed on the handler's stack; undefined for vectors without. */
  readonly errorCode: number | undefined;
  /** #PF: the linear address, for CR2. */
  readonly address: bigint | undefined;

  /** Names the fault. */
  constructor(vector: number, errorCode?: number, address?: bigint) {
    super(`vector ${vector}`);
    this.vector = vector;
    this.errorCode = errorCode;
    this.address = address;
  }
}

/** #UD. */
export function invalidOpcode(): GuestFault {
  return new GuestFault(Vector.INVALID_OPCODE);
}

/** #NM: the FPU is not the current task's. */
export function deviceNotAvailable(): GuestFault {
  return new GuestFault(Vector.DEVICE_NOT_AVAILABLE);
}

/** #GP(0). */
export function generalProtection(): GuestFault {
  return new GuestFault(Vector.GENERAL_PROTECTION, 0);
}
