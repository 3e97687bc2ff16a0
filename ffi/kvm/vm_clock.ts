/**
 * The clock that KVM gives its guests, kvmclock (Documentation/virt/kvm/api.rst,
 * §4.29, §4.30). A guest whose clock is the TSC does not have it.
 *
 * @module
 */
import { Errno, errno, SystemError } from "../errno.ts";
import { _IOR, _IOW, ioctlBuffer } from "../ioctl.ts";
import { libc } from "../libc.ts";
import { KVMIO } from "./api.ts";

/** Bytes of `struct kvm_clock_data`. */
export const CLOCK_SIZE = 48;
const KVM_SET_CLOCK = _IOW(KVMIO, 0x7b, CLOCK_SIZE);
const KVM_GET_CLOCK = _IOR(KVMIO, 0x7c, CLOCK_SIZE);
/** Offset of `flags` in it. */
const FLAGS = 8;
/** `KVM_CLOCK_REALTIME`: the guest's clock moves on by the time since. */
const REALTIME = 4;

/** What the clock shows, as `struct kvm_clock_data`. */
export function getClock(vmFd: number): Uint8Array<ArrayBuffer> {
  const clock = new Uint8Array(CLOCK_SIZE);
  ioctlBuffer(vmFd, KVM_GET_CLOCK, clock, "KVM_GET_CLOCK");
  return clock;
}

/**
 * Sets it to what it was.
 *
 * @param catchUp and moves it on by the time since; older kernels don't know
 *   how long that was
 */
export function setClock(
  vmFd: number,
  clock: Uint8Array<ArrayBuffer>,
  catchUp: boolean,
): void {
  const data = clock.slice();
  new DataView(data.buffer).setUint32(FLAGS, catchUp ? REALTIME : 0, true);
  if (libc.ioctl_buffer(vmFd, KVM_SET_CLOCK, data) === 0) return;
  const code = errno();
  if (code === Errno.EINVAL && catchUp) return setClock(vmFd, clock, false);
  throw new SystemError("KVM_SET_CLOCK", code);
}

/** A machine's clock, which stands while the machine does. */
export class VmClock {
  readonly #vmFd: number;
  /** It moves on by the time that the machine stood still. */
  readonly catchUp: boolean;
  #stopped: Uint8Array<ArrayBuffer> | undefined;

  /** The clock of this VM. */
  constructor(vmFd: number, catchUp: boolean) {
    this.#vmFd = vmFd;
    this.catchUp = catchUp;
  }

  /** No vCPU runs any more. */
  stop(): void {
    if (!this.catchUp) this.#stopped = getClock(this.#vmFd);
  }

  /** They will run again. */
  goOn(): void {
    if (this.#stopped) setClock(this.#vmFd, this.#stopped, false);
    this.#stopped = undefined;
  }
}
