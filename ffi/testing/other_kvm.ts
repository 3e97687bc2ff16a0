/**
 * For tests: the KVM of another host. This thread's ioctls are written down,
 * and some of them answered in the kernel's place.
 *
 * @module
 */
import { Cap, type CapName } from "../kvm/capabilities.ts";
import { KVMIO } from "../kvm/api.ts";
import { _IO, _IOW } from "../ioctl.ts";
import { type Libc, libc } from "../libc.ts";

type Name = "ioctl_value" | "ioctl_buffer" | "ioctl_wait";
const calls = libc as { -readonly [name in Name]: Libc[name] };

/** One ioctl of KVM's. */
export interface KvmCall {
  /** One of {@linkcode KvmRequest}, or another. */
  readonly request: number;
  /** Its argument, where that is a value. */
  readonly value?: number;
  /** What it was given, where that is a structure. */
  readonly bytes?: Uint8Array;
}

/** KVM's ioctls that tests ask about. */
export const KvmRequest = {
  CREATE_VM: _IO(KVMIO, 0x01),
  CHECK_EXTENSION: _IO(KVMIO, 0x03),
  SET_USER_MEMORY_REGION: _IOW(KVMIO, 0x46, 32),
  REINJECT_CONTROL: _IO(KVMIO, 0x71),
  IOEVENTFD: _IOW(KVMIO, 0x79, 64),
  SET_MSRS: _IOW(KVMIO, 0x89, 8),
  GET_TSC_KHZ: _IO(KVMIO, 0xa3),
  ENABLE_CAP: _IOW(KVMIO, 0xa3, 104),
} as const;

/** Until it is disposed of, KVM is as told. */
export class OtherKvm implements Disposable {
  /** All ioctls of KVM's so far but the questions for capabilities. */
  readonly calls: KvmCall[] = [];
  readonly #value = libc.ioctl_value;
  readonly #buffer = libc.ioctl_buffer;
  readonly #wait = libc.ioctl_wait;

  /**
   * Begins.
   *
   * @param capabilities these have other values than this host's
   * @param answer what an ioctl returns, or the negative errno that it fails
   *   with; undefined: the kernel's own
   */
  constructor(
    capabilities: Partial<Record<CapName, number>>,
    answer: (call: KvmCall) => number | undefined = () => undefined,
  ) {
    const values = new Map(
      Object.entries(capabilities).map(([name, value]) =>
        [Cap[name as CapName] as number, value] as const
      ),
    );
    const word = new Int32Array(
      Deno.UnsafePointerView.getArrayBuffer(libc.__errno_location()!, 4),
    );
    const answered = (call: KvmCall) => {
      this.calls.push(call);
      const result = answer(call);
      if (result === undefined || result >= 0) return result;
      word[0] = -result;
      return -1;
    };
    calls.ioctl_value = (fd, request, argument) => {
      const value = Number(argument);
      if (request === KvmRequest.CHECK_EXTENSION) {
        return values.get(value) ?? this.#value(fd, request, argument);
      }
      return (isKvms(request) ? answered({ request, value }) : undefined) ??
        this.#value(fd, request, argument);
    };
    calls.ioctl_buffer = (fd, request, buffer) => {
      const bytes = ArrayBuffer.isView(buffer)
        ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
        : new Uint8Array(buffer as ArrayBuffer);
      const call = { request, bytes: bytes.slice() };
      return (isKvms(request) ? answered(call) : undefined) ??
        this.#buffer(fd, request, buffer);
    };
    calls.ioctl_wait = (fd, request, buffer) =>
      Promise.resolve(calls.ioctl_buffer(fd, request, buffer));
  }

  /** Those with this request. */
  those(request: number): KvmCall[] {
    return this.calls.filter((call) => call.request === request);
  }

  /** The capabilities that were enabled, by number. */
  get enabled(): number[] {
    return this.those(KvmRequest.ENABLE_CAP).map(({ bytes }) =>
      new DataView(bytes!.buffer).getUint32(0, true)
    );
  }

  /** KVM is this host's again. */
  [Symbol.dispose](): void {
    calls.ioctl_value = this.#value;
    calls.ioctl_buffer = this.#buffer;
    calls.ioctl_wait = this.#wait;
  }
}

function isKvms(request: number): boolean {
  return (request >>> 8 & 0xff) === KVMIO;
}
