/**
 * The block device's numbers (virtio 1.2 §5.2), and what a device says of
 * itself with them: features and configuration space.
 *
 * @module
 */
import type { BlockBackend } from "../../backends/block/backend.ts";
import type { RateLimits } from "../../runtime/rate_limiter.ts";
import { Feature, type FeatureWords, featureWords } from "../spec.ts";

/** Feature bits (§5.2.3). */
export const BlkFeature = {
  SEG_MAX: 2,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const;

/** Request types (§5.2.6). */
export const BlkType = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
} as const;

/** Request status values (§5.2.6). */
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

/** Offsets in `struct virtio_blk_config` (§5.2.4). */
export const BlkConfig = {
  capacity: 0,
  seg_max: 12,
  blk_size: 20,
  physical_block_exp: 24,
  writeback: 32,
  num_queues: 34,
  max_discard_sectors: 36,
  max_discard_seg: 40,
  discard_sector_alignment: 44,
  max_write_zeroes_sectors: 48,
  max_write_zeroes_seg: 52,
  write_zeroes_may_unmap: 56,
  SIZE: 60,
} as const;

/** Flag of a segment of WRITE_ZEROES (§5.2.6): its room may be given back. */
export const SEGMENT_UNMAP = 1;

/** Sectors of one DISCARD or WRITE_ZEROES: 1 GiB. They have one segment. */
export const MAX_ZERO_SECTORS = 1 << 21;

/** Bytes of a sector, whatever the block size (§5.2.4). */
export const SECTOR_SIZE = 512;

/** `struct virtio_blk_req`: le32 type, le32 reserved, le64 sector. */
export const BLK_HEADER_SIZE = 16;

/**
 * `struct virtio_blk_discard_write_zeroes`: le64 sector, le32 num_sectors,
 * le32 flags.
 */
export const BLK_SEGMENT_SIZE = 16;

/** Bytes of an id (§5.2.6). */
export const BLK_ID_SIZE = 20;

/** What a disk offers beyond reading and writing. */
export interface BlkOptions {
  /** Offer FLUSH, and the choice between write caches; default true. */
  flush?: boolean;
  /** Number of queues, 1 to {@linkcode BLK_QUEUES}; default 1. */
  queues?: number;
  /** Limits of what the guest may transfer; default none. */
  limits?: RateLimits;
}

/** The most queues of a disk. */
export const BLK_QUEUES = 16;

/** The features that are offered. */
export function blkFeatures(
  backend: BlockBackend,
  { flush = true, queues = 1 }: BlkOptions,
): FeatureWords {
  const { readOnly } = backend;
  return featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
    BlkFeature.SEG_MAX,
    BlkFeature.BLK_SIZE,
    BlkFeature.TOPOLOGY,
    ...(flush ? [BlkFeature.FLUSH] : []),
    ...(flush && !readOnly ? [BlkFeature.CONFIG_WCE] : []),
    ...(queues > 1 ? [BlkFeature.MQ] : []),
    ...(readOnly
      ? [BlkFeature.RO]
      : [BlkFeature.DISCARD, BlkFeature.WRITE_ZEROES]),
  );
}

/** The configuration space at the start, and after a reset. */
export function blkConfig(
  backend: BlockBackend,
  { queues = 1 }: BlkOptions,
  queueSize: number,
): Uint8Array {
  const config = new DataView(new ArrayBuffer(BlkConfig.SIZE));
  const u32 = (offset: number, value: number) =>
    config.setUint32(offset, value, true);
  const { physicalBlockSize } = backend;
  setCapacity(config, backend.size);
  u32(BlkConfig.seg_max, queueSize - 2); // all but header and status
  u32(BlkConfig.blk_size, SECTOR_SIZE);
  const exponent = Math.log2(physicalBlockSize / SECTOR_SIZE);
  config.setUint8(BlkConfig.physical_block_exp, exponent);
  config.setUint8(BlkConfig.writeback, 1);
  config.setUint16(BlkConfig.num_queues, queues, true);
  if (!backend.readOnly) {
    u32(BlkConfig.max_discard_sectors, MAX_ZERO_SECTORS);
    u32(BlkConfig.max_discard_seg, 1);
    // What is smaller frees nothing.
    const alignment = physicalBlockSize / SECTOR_SIZE;
    u32(BlkConfig.discard_sector_alignment, alignment);
    u32(BlkConfig.max_write_zeroes_sectors, MAX_ZERO_SECTORS);
    u32(BlkConfig.max_write_zeroes_seg, 1);
    config.setUint8(BlkConfig.write_zeroes_may_unmap, 1);
  }
  return new Uint8Array(config.buffer);
}

/** The size in bytes that a configuration space tells. */
export function capacityOf(config: DataView): number {
  return Number(config.getBigUint64(BlkConfig.capacity, true)) * SECTOR_SIZE;
}

/** Writes the size in bytes as a capacity in sectors. */
export function setCapacity(config: DataView, size: number): void {
  const sectors = BigInt(Math.floor(size / SECTOR_SIZE));
  config.setBigUint64(BlkConfig.capacity, sectors, true);
}
