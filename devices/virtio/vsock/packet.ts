/**
 * A vsock packet's header (virtio 1.2 §5.10.6).
 *
 * @module
 */
import type { GuestMemory } from "../../../guest/memory.ts";
import type { ChainPart } from "../queue/chain.ts";
import {
  HOST_CID,
  VSOCK_HEADER_SIZE,
  VSOCK_TYPE_STREAM,
  VsockOp,
} from "./spec.ts";

// struct virtio_vsock_hdr as 32-bit words.
const PacketWord = {
  src_cid: 0,
  dst_cid: 2,
  src_port: 4,
  dst_port: 5,
  len: 6,
  type_op: 7, // le16 type, le16 op
  flags: 8,
  buf_alloc: 9,
  fwd_cnt: 10,
} as const;

/** A header outside guest memory. Reused for every packet. */
export class VsockPacket {
  readonly #words = new Uint32Array(VSOCK_HEADER_SIZE / 4);
  readonly #bytes = new Uint8Array(this.#words.buffer);

  /** Copies the header out of a chain; false when the chain is too short. */
  read(memory: GuestMemory, part: ChainPart): boolean {
    return part.peek(memory, this.#bytes, VSOCK_HEADER_SIZE);
  }

  /** Copies the header into a chain that has room for it. */
  write(memory: GuestMemory, part: ChainPart): void {
    part.poke(memory, this.#bytes);
  }

  /** Makes this the header of an RST that answers `packet`. */
  answerWithReset(packet: VsockPacket): void {
    const from = packet.#words;
    const to = this.#words;
    to.fill(0);
    for (let i = 0; i < 2; i++) {
      to[PacketWord.src_cid + i] = from[PacketWord.dst_cid + i]!;
      to[PacketWord.dst_cid + i] = from[PacketWord.src_cid + i]!;
    }
    to[PacketWord.src_port] = from[PacketWord.dst_port]!;
    to[PacketWord.dst_port] = from[PacketWord.src_port]!;
    to[PacketWord.type_op] = (from[PacketWord.type_op]! & 0xffff) |
      (VsockOp.RST << 16);
  }

  /** The header of a packet from the host to the guest without a payload. */
  fromHost(
    guestCid: number,
    hostPort: number,
    guestPort: number,
    op: number,
    flags: number,
  ): void {
    const words = this.#words;
    words[PacketWord.src_cid] = HOST_CID;
    words[PacketWord.src_cid + 1] = 0;
    words[PacketWord.dst_cid] = guestCid;
    words[PacketWord.dst_cid + 1] = 0;
    words[PacketWord.src_port] = hostPort;
    words[PacketWord.dst_port] = guestPort;
    words[PacketWord.len] = 0;
    words[PacketWord.type_op] = VSOCK_TYPE_STREAM | (op << 16);
    words[PacketWord.flags] = flags;
  }

  /** Copies another header. */
  copy(packet: VsockPacket): void {
    this.#words.set(packet.#words);
  }

  /** True when the packet is between this guest and the host. */
  isFrom(guestCid: number): boolean {
    const words = this.#words;
    return words[PacketWord.src_cid] === guestCid &&
      words[PacketWord.src_cid + 1] === 0;
  }

  /** True when the packet is for the host. */
  get isForHost(): boolean {
    const words = this.#words;
    return words[PacketWord.dst_cid] === HOST_CID &&
      words[PacketWord.dst_cid + 1] === 0;
  }

  /** The sender's port. */
  get srcPort(): number {
    return this.#words[PacketWord.src_port]!;
  }

  /** The receiver's port. */
  get dstPort(): number {
    return this.#words[PacketWord.dst_port]!;
  }

  /** Bytes of payload. */
  get length(): number {
    return this.#words[PacketWord.len]!;
  }

  set length(value: number) {
    this.#words[PacketWord.len] = value;
  }

  /** Type of socket. */
  get type(): number {
    return this.#words[PacketWord.type_op]! & 0xffff;
  }

  /** One of {@linkcode VsockOp}, or anything that a guest has written. */
  get op(): number {
    return this.#words[PacketWord.type_op]! >>> 16;
  }

  /** Flags; their meaning depends on the op. */
  get flags(): number {
    return this.#words[PacketWord.flags]!;
  }

  /** The sender's receive buffer in bytes (§5.10.6.3). */
  get bufAlloc(): number {
    return this.#words[PacketWord.buf_alloc]!;
  }

  /** Bytes that the sender's receiver has taken, modulo 2^32. */
  get fwdCnt(): number {
    return this.#words[PacketWord.fwd_cnt]!;
  }

  /** Sets the credit that the sender grants. */
  grant(bufAlloc: number, fwdCnt: number): void {
    this.#words[PacketWord.buf_alloc] = bufAlloc;
    this.#words[PacketWord.fwd_cnt] = fwdCnt;
  }
}
