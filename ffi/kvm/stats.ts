/**
 * What KVM counts of a vCPU: its binary statistics (§4.134 of
 * Documentation/virt/kvm/api.rst, from Linux 5.14 on).
 *
 * @module
 */
import { errno, SystemError, VireoError } from "../errno.ts";
import { closeFd } from "../file.ts";
import { _IO, ioctlValue } from "../ioctl.ts";
import { libc } from "../libc.ts";
import { Mapping } from "../memory/mmap.ts";
import { KVMIO } from "./api.ts";

const KVM_GET_STATS_FD = _IO(KVMIO, 0xce);

/** `struct kvm_stats_header`, in 32-bit words. */
const Header = {
  SIZE: 24,
  NAME_SIZE: 1,
  NUM_DESC: 2,
  DESC_OFFSET: 4,
  DATA_OFFSET: 5,
} as const;
/** `struct kvm_stats_desc`: flags, exponent, size, offset, bucket size, name. */
const Desc = { OFFSET: 8, NAME: 16 } as const;
/** Offset of the value behind a `struct iovec`. */
const VALUE = 16;
/** More than any KVM describes. */
const MOST = 1 << 20;

/** One counter of a vCPU, which any thread may read while that runs. */
export class VcpuCounter implements Disposable {
  readonly #fd: number;
  readonly #offset: bigint;
  readonly #mapping = new Mapping(4096, { name: "a counter" });
  readonly #value = new Uint32Array(this.#mapping.buffer, VALUE, 2);

  /**
   * The counter of that name: `insn_emulation`, `exits`.
   *
   * @throws {VireoError} this KVM has none
   */
  constructor(vcpuFd: number, name: string) {
    using undo = new DisposableStack();
    undo.defer(() => this.#mapping.unmap());
    const fd = ioctlValue(vcpuFd, KVM_GET_STATS_FD, 0, "KVM_GET_STATS_FD");
    undo.defer(() => closeFd(fd));
    this.#fd = fd;
    this.#offset = BigInt(this.#find(name));
    const iovec = new BigUint64Array(this.#mapping.buffer, 0, 2);
    iovec[0] = BigInt(this.#mapping.address + VALUE);
    iovec[1] = 8n;
    undo.move();
  }

  /** What it is now. */
  get value(): number {
    const at = this.#mapping.address;
    if (libc.preadv(this.#fd, BigInt(at), 1, this.#offset) !== 8) {
      throw new SystemError("reading KVM's statistics", errno());
    }
    return this.#value[0]! + this.#value[1]! * 0x1_0000_0000;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    closeFd(this.#fd);
    this.#mapping.unmap();
  }

  /** Where its value is. */
  #find(name: string): number {
    const header = new Uint32Array(this.#read(0, Header.SIZE).buffer);
    const [size, count] = [header[Header.NAME_SIZE]!, header[Header.NUM_DESC]!];
    const step = Desc.NAME + size;
    if (step * count > MOST) throw new VireoError("KVM's statistics: too many");
    const descs = this.#read(header[Header.DESC_OFFSET]!, step * count);
    const view = new DataView(descs.buffer);
    for (let i = 0; i < count; i++) {
      const at = i * step;
      const text = descs.subarray(at + Desc.NAME, at + step);
      const end = text.indexOf(0);
      if (new TextDecoder().decode(text.subarray(0, end)) !== name) continue;
      return header[Header.DATA_OFFSET]! +
        view.getUint32(at + Desc.OFFSET, true);
    }
    throw new VireoError(`KVM's statistics: no "${name}"`);
  }

  /** Bytes of the description; only once. */
  #read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    using room = new Mapping(VALUE + length, { name: "statistics" });
    const iovec = new BigUint64Array(room.buffer, 0, 2);
    iovec[0] = BigInt(room.address + VALUE);
    iovec[1] = BigInt(length);
    const count = libc.preadv(
      this.#fd,
      BigInt(room.address),
      1,
      BigInt(offset),
    );
    if (count !== length) {
      throw new SystemError("reading KVM's statistics", errno());
    }
    return new Uint8Array(room.buffer, VALUE, length).slice();
  }
}
