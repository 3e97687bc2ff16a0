/**
 * For tests of the block device: requests as a driver builds them (virtio 1.2
 * §5.2.6).
 *
 * @module
 */
import type { BlockBackend } from "../../backends/block/backend.ts";
import { Blk } from "../blk/blk.ts";
import type { BlkOptions } from "../blk/spec.ts";
import { BlkType } from "../blk/spec.ts";
import {
  MockDriver,
  type MockDriverOptions,
  type StartOptions,
} from "./mod.ts";
import type { DriverBuffer } from "./queue.ts";

const HEADER_SIZE = 16;
const SECTOR_SIZE = 512;
/** What a status byte holds before the device writes it. */
export const UNWRITTEN = 0xee;

/** A request that was made available. */
export interface BlkRequest {
  /** The chain's head. */
  head: number;
  /** The data, for the device to read or write. */
  data: DriverBuffer[];
  /** One byte. */
  status: DriverBuffer;
}

/** A driver of one block device. */
export class BlkDriver extends MockDriver {
  /** A device over `backend`, started. */
  constructor(
    backend: BlockBackend,
    options: MockDriverOptions & StartOptions & BlkOptions = {},
  ) {
    super(new Blk(backend, "disk0", options), options);
    this.start(options);
  }

  /** The header of a request. */
  header(type: number, sector: number): DriverBuffer {
    const header = new DataView(new ArrayBuffer(HEADER_SIZE));
    header.setUint32(0, type, true);
    header.setUint32(8, sector >>> 0, true);
    header.setUint32(12, Math.floor(sector / 2 ** 32) >>> 0, true);
    return this.buffer(new Uint8Array(header.buffer));
  }

  /** Makes a request available: header, data, status. Rings no doorbell. */
  request(type: number, sector: number, data: DriverBuffer[]): BlkRequest {
    const status = this.room(1, UNWRITTEN);
    const header = this.header(type, sector);
    const head = this.rings[0]!.add([header, ...data, status]);
    return { head, data, status };
  }

  /** Reads `sectors` sectors, in buffers of `lengths` or in one. */
  read(sector: number, ...lengths: number[]): BlkRequest {
    const sizes = lengths.length > 0 ? lengths : [SECTOR_SIZE];
    return this.request(BlkType.IN, sector, sizes.map((n) => this.room(n)));
  }

  /** Writes the given pieces one after the other. */
  write(sector: number, ...pieces: Uint8Array[]): BlkRequest {
    const data = pieces.map((bytes) => this.buffer(bytes));
    return this.request(BlkType.OUT, sector, data);
  }

  /** Asks for what was written to be made durable. */
  flush(): BlkRequest {
    return this.request(BlkType.FLUSH, 0, []);
  }

  /** DISCARD or WRITE_ZEROES of the given segments. */
  zero(
    type: number,
    ...segments: { sector: number; sectors: number; flags?: number }[]
  ): BlkRequest {
    const view = new DataView(new ArrayBuffer(16 * segments.length));
    segments.forEach(({ sector, sectors, flags = 0 }, i) => {
      view.setUint32(16 * i, sector >>> 0, true);
      view.setUint32(16 * i + 4, Math.floor(sector / 2 ** 32) >>> 0, true);
      view.setUint32(16 * i + 8, sectors, true);
      view.setUint32(16 * i + 12, flags, true);
    });
    const data = segments.length > 0
      ? [this.buffer(new Uint8Array(view.buffer))]
      : [];
    return this.request(type, 0, data);
  }

  /** Rings the doorbell and waits for `requests`; their used lengths. */
  complete(...requests: BlkRequest[]): number[] {
    this.ring(0);
    const lengths = new Map<number, number>();
    const queue = this.rings[0]!;
    this.until(() => {
      for (let head = queue.poll(); head >= 0; head = queue.poll()) {
        lengths.set(head, queue.usedLength);
      }
      return requests.every(({ head }) => lengths.has(head));
    }, "the completion");
    return requests.map(({ head }) => lengths.get(head)!);
  }

  /** The status byte of a request. */
  statusOf({ status }: BlkRequest): number {
    return this.bytes(status)[0]!;
  }

  /** The data of a request in one piece. */
  dataOf({ data }: BlkRequest): Uint8Array {
    return Uint8Array.from(data.flatMap((part) => [...this.bytes(part)]));
  }
}
