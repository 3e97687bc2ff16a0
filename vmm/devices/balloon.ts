/**
 * Balloons: `balloon` in the configuration, `--balloon` on the command line.
 *
 * @module
 */
import type { BalloonOptions } from "../../devices/virtio/balloon/spec.ts";
import { VireoError } from "../../ffi/error.ts";
import { GiB, MiB } from "../../guest/layout.ts";
import { conflict } from "../config/schema/conflict.ts";
import {
  boolean,
  type Filled,
  type Finding,
  integer,
  type Keys,
  object,
  optional,
  required,
} from "../config/schema/rule.ts";
import type { Kind } from "./kind.ts";
import { didYouMean, parseCount, splitWords } from "./words.ts";

/** A virtio memory balloon: takes memory back from the guest. */
export interface MemoryBalloon {
  /** MiB that the guest is to give up. */
  amount_mib: number;
  /** The guest takes pages back when it runs out of memory. */
  deflate_on_oom: boolean;
  /** Seconds between two statistics; 0, the default: none at all. */
  stats_polling_interval_s?: number;
  /** The guest gives back memory as it frees it. */
  free_page_reporting?: boolean;
  /** The guest gives back free memory when it is asked to. */
  free_page_hinting?: boolean;
}

type Defaults =
  | "stats_polling_interval_s"
  | "free_page_reporting"
  | "free_page_hinting";
type FilledBalloon = Filled<MemoryBalloon, Defaults>;

const BALLOON_KEYS: Keys<MemoryBalloon, Defaults> = {
  amount_mib: required(
    integer(0, 64 * GiB / MiB),
    "MiB that the guest is to give up.",
  ),
  deflate_on_oom: required(
    boolean,
    "The guest takes pages back when it runs out of memory.",
  ),
  stats_polling_interval_s: optional(
    integer(0, 65535),
    "Seconds between two statistics.",
    0,
    ": none at all",
  ),
  free_page_reporting: optional(
    boolean,
    "The guest gives back memory as it frees it.",
    false,
  ),
  free_page_hinting: optional(
    boolean,
    "The guest gives back free memory when asked to.",
    false,
  ),
};

const BALLOON_WORDS = ["oom", "stats=SECONDS", "reporting", "hinting"];

/** At most one. */
export const BALLOON: Kind<MemoryBalloon, FilledBalloon, BalloonOptions> & {
  list: false;
} = {
  list: false,
  order: 50,
  about: "Takes memory back from the guest.",
  status: "honoured",
  rule: object<MemoryBalloon, Defaults>(BALLOON_KEYS),
  make: new URL("../../devices/virtio/balloon/make.ts", import.meta.url),

  conflicts([balloon], { mem_size_mib, huge_pages }) {
    const findings: Finding[] = [];
    const { amount_mib: value } = balloon!;
    if (value > mem_size_mib) {
      const path = "balloon.amount_mib";
      const expected = `0 to ${mem_size_mib}, the guest's memory`;
      findings.push({ path, code: "range", expected, value });
    }
    if (huge_pages === "2M") {
      const text =
        "memory from the host's pool of huge pages can't be given back; " +
        'leave out huge_pages "2M", or the balloon';
      findings.push(conflict("balloon", text));
    }
    return findings;
  },

  open: (balloon) => ({
    name: "balloon",
    data: {
      mib: balloon.amount_mib,
      statsInterval: balloon.stats_polling_interval_s,
      deflateOnOom: balloon.deflate_on_oom,
      reporting: balloon.free_page_reporting,
      hinting: balloon.free_page_hinting,
    },
  }),

  options: {
    rows: [{
      flags: "--balloon <size>",
      about: "take memory back: " +
        "MIB[,oom][,stats=SECONDS][,reporting][,hinting]",
      words: BALLOON_WORDS,
    }],
    read: ({ balloon }: { balloon?: string }) =>
      balloon ? parseBalloon(balloon) : undefined,
    texts: {
      "amount_mib": ({ value, expected }) =>
        `balloon: ${value} MiB is not ${expected}`,
      "stats_polling_interval_s": ({ value, expected }) =>
        `balloon: a statistics interval of ${value} s is not ${expected}`,
    },
  },
};

/**
 * A balloon from `MIB[,oom][,stats=SECONDS][,reporting][,hinting]`.
 *
 * @throws {VireoError} when the size is missing, or a word unknown
 */
export function parseBalloon(text: string): MemoryBalloon {
  const [size = "", ...words] = splitWords(text);
  const balloon: MemoryBalloon = {
    amount_mib: parseCount("--balloon", size),
    deflate_on_oom: false,
  };
  for (const word of words) {
    const seconds = /^stats=(\d+)$/.exec(word)?.[1];
    if (word === "oom") balloon.deflate_on_oom = true;
    else if (word === "reporting") balloon.free_page_reporting = true;
    else if (word === "hinting") balloon.free_page_hinting = true;
    else if (seconds) balloon.stats_polling_interval_s = Number(seconds);
    else {
      throw new VireoError(
        `--balloon ${text}: unknown word "${word}"` +
          `${didYouMean(word, BALLOON_WORDS)}; ` +
          "MIB[,oom][,stats=SECONDS][,reporting][,hinting]",
      );
    }
  }
  return balloon;
}
