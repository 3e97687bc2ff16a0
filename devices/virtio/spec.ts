/**
 * Constants of virtio 1.2 that every device and transport shares.
 *
 * @module
 */

/** Device ids (§5). */
export const DeviceId = {
  NET: 1,
  BLOCK: 2,
  CONSOLE: 3,
  ENTROPY: 4,
  BALLOON: 5,
  VSOCK: 19,
} as const;

/** The most queues a device can have. */
export const MAX_QUEUES = 30;
/** The largest configuration space in bytes. */
export const MAX_CONFIG = 0x800;

/** Device status bits (§2.1). */
export const Status = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  DEVICE_NEEDS_RESET: 64,
  FAILED: 128,
} as const;

/** Reserved feature bits (§6), as bit numbers. */
export const Feature = {
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  RING_PACKED: 34,
  RING_RESET: 40,
} as const;

/** InterruptStatus bits (§4.2.2). */
export const Interrupt = { USED_BUFFER: 1, CONFIG_CHANGE: 2 } as const;

/** Feature bits 0 to 63 as two words, low first. */
export type FeatureWords = readonly [low: number, high: number];

/** Two words with the given bit numbers set. */
export function featureWords(...bits: number[]): FeatureWords {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  return [low >>> 0, high >>> 0];
}
