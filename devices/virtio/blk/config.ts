/**
 * What a block device offers (virtio 1.2 §5.2.3, §5.2.4).
 *
 * @module
 */
import type { BlockBackend } from "../../backends/block/backend.ts";
import type { RateLimits } from "../../runtime/rate_limiter.ts";
import {
  BlkConfig,
  BlkFeature,
  MAX_ZERO_SECTORS,
  SECTOR_SIZE,
} from "./spec.ts";
import { Feature, type FeatureWords, featureWords } from "../spec.ts";

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
  const { blockSize, physicalBlockSize } = backend;
  setCapacity(config, backend.size);
  u32(BlkConfig.seg_max, queueSize - 2); // all but header and status
  u32(BlkConfig.blk_size, blockSize);
  const exponent = Math.log2(physicalBlockSize / blockSize);
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

/** Writes the size in bytes as a capacity in sectors. */
export function setCapacity(config: DataView, size: number): void {
  const sectors = BigInt(Math.floor(size / SECTOR_SIZE));
  config.setBigUint64(BlkConfig.capacity, sectors, true);
}
