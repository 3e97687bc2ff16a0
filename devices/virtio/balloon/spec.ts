/**
 * Constants of the balloon device (virtio 1.2 §5.5), and what it may offer.
 *
 * @module
 */

/** Feature bits (§5.5.3). */
export const BalloonFeature = {
  STATS_VQ: 1,
  DEFLATE_ON_OOM: 2,
  FREE_PAGE_HINT: 3,
  PAGE_POISON: 4,
  PAGE_REPORTING: 5,
} as const;

/** Offsets in `struct virtio_balloon_config` (§5.5.4). */
export const BalloonConfig = {
  num_pages: 0,
  actual: 4,
  free_page_hint_cmd_id: 8,
  poison_val: 12,
  SIZE: 16,
} as const;

/** `free_page_hint_cmd_id` (§5.5.6.5); runs are numbered from FIRST. */
export const HintCommand = { STOP: 0, DONE: 1, FIRST: 2 } as const;

/** What a balloon is to do. */
export interface BalloonOptions {
  /** The balloon's size at the start in MiB; default 0. */
  mib?: number;
  /** The guest takes pages back when it runs out of memory. */
  deflateOnOom?: boolean;
  /** Seconds between two statistics; 0, the default: none at all. */
  statsInterval?: number;
  /** The guest tells of pages that it has no use for, as it frees them. */
  reporting?: boolean;
  /** The guest tells of free pages when it is asked to. */
  hinting?: boolean;
}
