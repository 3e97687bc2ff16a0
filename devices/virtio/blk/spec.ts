/**
 * The block device's numbers (virtio 1.2 §5.2).
 *
 * @module
 */

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
