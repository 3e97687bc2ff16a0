/**
 * Debugging of a guest from outside: the four breakpoint registers and the
 * single-step flag of a vCPU (§4.83). KVM keeps one setting per vCPU, so its
 * users share it here, each under its name.
 *
 * @module
 */
import { VireoError } from "../errno.ts";
import { _IOW, ioctlBuffer } from "../ioctl.ts";
import { KVMIO } from "./api.ts";
import { Cap } from "./capabilities.ts";

/** `sizeof(struct kvm_guest_debug)`: control, padding, DR0 to DR7. */
const GUEST_DEBUG_SIZE = 72;
const DEBUG_REGISTERS = 8;
const KVM_SET_GUEST_DEBUG = _IOW(KVMIO, 0x9b, GUEST_DEBUG_SIZE);

/** `KVM_GUESTDBG_*` */
const ENABLE = 1;
const SINGLESTEP = 2;
const USE_HW_BP = 0x2_0000;
const BLOCKIRQ = 0x10_0000;

/** DR0 to DR3. */
const SLOTS = 4;
/** Of DR7 (SDM vol. 3, §18.2.4): bit 10 is always 1. */
const DR7_FIXED = 1n << 10n;
/** DR7's G0: the address in DR0 stops instruction fetches. */
const DR7_G0 = 1n << 1n;
const DR7_BITS_PER_SLOT = 2;
/** DR7's R/W and LEN of a slot: LEN is an index. */
const RW = { execute: 0n, write: 1n, access: 3n } as const;
const LENGTHS: readonly number[] = [1, 2, 8, 4];

/** One vCPU's breakpoint slots and step flag. It belongs to the vCPU's thread. */
export class GuestDebug {
  readonly #fd: number;
  readonly #users: DebugUser[] = [];

  /** Of the vCPU with this descriptor; nothing is set yet. */
  constructor(vcpuFd: number) {
    this.#fd = vcpuFd;
  }

  /**
   * Gives `name` the step flag and `slots` of the four breakpoints, until it
   * is disposed of.
   *
   * @throws {VireoError} there are not so many left; says who has them
   */
  claim(name: string, slots: number): DebugUser {
    const taken = this.#users.reduce((sum, user) => sum + user.slots, 0);
    if (taken + slots > SLOTS) {
      const holders = this.#users.map((user) =>
        `${user.name} has ${user.slots}`
      );
      throw new VireoError(
        `${name}: needs ${slots} of a vCPU's ${SLOTS} breakpoints` +
          (holders.length > 0 ? `, and ${holders.join(", ")}` : ""),
      );
    }
    const user: DebugUser = new DebugUser(name, slots, {
      changed: () => this.#apply(),
      released: () => {
        this.#users.splice(this.#users.indexOf(user), 1);
        this.#apply();
      },
    });
    this.#users.push(user);
    return user;
  }

  /**
   * A breakpoint stops in front of its instruction each time, also when the
   * vCPU goes on from there: so they all rest while somebody steps.
   */
  #apply(): void {
    const step = this.#users.some(({ stepping }) => stepping);
    const stops = this.#users.flatMap(({ breakpoints }) => breakpoints)
      .map((address) => address === undefined ? undefined : { address });
    setGuestDebug(this.#fd, step ? { step } : { stops });
  }
}

/** What one of DR0 to DR3 stops at. */
export interface HardwareStop {
  /** Linear address; of data, a multiple of its length. */
  address: bigint;
  /** Instructions are fetched there, or data written, or accessed at all. */
  kind?: "execute" | "write" | "access";
  /** Bytes of data: 1, 2, 4 or 8. */
  length?: number;
}

/** When a vCPU is to exit with `Exit.DEBUG`. */
export interface GuestDebugSetting {
  /** After the next instruction; no interrupt is taken before it, if so told. */
  step?: boolean | "without interrupts";
  /** What DR0 to DR3 stop at. */
  stops?: readonly (HardwareStop | undefined)[];
}

/**
 * §4.83: sets it all, in the place of what was set before. The guest has its own
 * debug registers meanwhile, which don't stop it.
 *
 * @throws {RangeError} more stops than there are registers
 */
export function setGuestDebug(
  vcpuFd: number,
  { step = false, stops = [] }: GuestDebugSetting,
): void {
  const debug = new DataView(new ArrayBuffer(GUEST_DEBUG_SIZE));
  const set = (register: number, value: bigint) =>
    debug.setBigUint64(8 + register * 8, value, true);
  const dr7 = encodeDr7(stops);
  stops.forEach((stop, slot) => stop && set(slot, stop.address));
  set(DEBUG_REGISTERS - 1, dr7);
  let control = 0;
  if (dr7 !== 0n) control |= ENABLE | USE_HW_BP;
  if (step) control |= ENABLE | SINGLESTEP;
  if (step === "without interrupts") control |= BLOCKIRQ;
  debug.setUint32(0, control, true);
  ioctlBuffer(vcpuFd, KVM_SET_GUEST_DEBUG, debug, "KVM_SET_GUEST_DEBUG");
}

/** Whether a KVM knows `KVM_GUESTDBG_BLOCKIRQ` (§8.25 lists what it knows). */
export function canStepWithoutInterrupts(
  kvm: { checkExtension(cap: number): number },
): boolean {
  return (kvm.checkExtension(Cap.SET_GUEST_DEBUG2) & BLOCKIRQ) !== 0;
}

/** Of DR7 (SDM vol. 3, §18.2.4), for each slot: enabled, what, how long. */
export function encodeDr7(
  stops: readonly (HardwareStop | undefined)[],
): bigint {
  if (stops.length > SLOTS) throw new RangeError(`${SLOTS} breakpoints`);
  let dr7 = 0n;
  stops.forEach((stop, slot) => {
    if (stop === undefined) return;
    const { kind = "execute", length = 1 } = stop;
    const what = kind === "execute" ? RW.execute : RW[kind];
    const bits =
      BigInt(LENGTHS.indexOf(kind === "execute" ? 1 : length)) << 2n |
      what;
    dr7 |= DR7_FIXED | DR7_G0 << BigInt(slot * DR7_BITS_PER_SLOT) |
      bits << BigInt(16 + slot * 4);
  });
  return dr7;
}

/** What one user has of a {@linkcode GuestDebug}. */
export class DebugUser implements Disposable {
  /** Who it is, as the others are told. */
  readonly name: string;
  /** How many breakpoints it may set. */
  readonly slots: number;
  /** The linear address in each slot; undefined: none. */
  readonly breakpoints: (bigint | undefined)[];
  readonly #hooks: { changed(): void; released(): void };
  #stepping = false;

  /** Made by {@linkcode GuestDebug.claim}. */
  constructor(
    name: string,
    slots: number,
    hooks: { changed(): void; released(): void },
  ) {
    this.name = name;
    this.slots = slots;
    this.breakpoints = new Array(slots).fill(undefined);
    this.#hooks = hooks;
  }

  /** Whether the vCPU exits after its next instruction. */
  get stepping(): boolean {
    return this.#stepping;
  }

  /**
   * Exits with `Exit.DEBUG` in front of the instruction at `address`, and ends
   * this user's step.
   *
   * @param slot 0 up to {@linkcode DebugUser.slots}
   * @throws {RangeError} no such slot
   */
  setBreakpoint(address: bigint | undefined, slot = 0): void {
    if (!(slot in this.breakpoints)) {
      throw new RangeError(`${this.name} has ${this.slots} breakpoints`);
    }
    this.breakpoints[slot] = address;
    this.#stepping = false;
    this.#hooks.changed();
  }

  /**
   * Exits with `Exit.DEBUG` after each instruction, breakpoints or not, until
   * {@linkcode DebugUser.stopStepping}.
   */
  step(): void {
    this.#stepping = true;
    this.#hooks.changed();
  }

  /** The breakpoints count again. */
  stopStepping(): void {
    this.#stepping = false;
    this.#hooks.changed();
  }

  /** Gives the slots back. */
  [Symbol.dispose](): void {
    this.#hooks.released();
  }
}
