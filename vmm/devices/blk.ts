/**
 * Disks: `drives` in the configuration, `--disk` on the command line.
 *
 * @module
 */
import { storageOf } from "../../devices/backends/block/host_usage.ts";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import { BLK_QUEUES } from "../../devices/virtio/blk/spec.ts";
import type { BlkData, ModuleBlkData } from "../../devices/virtio/blk/make.ts";
import type { FaultPlan } from "../../devices/faults/rules.ts";
import { VireoError } from "../../ffi/error.ts";
import { conflict, twice } from "../config/schema/conflict.ts";
import {
  anything,
  boolean,
  file,
  type Filled,
  type Finding,
  integer,
  type Keys,
  module,
  notYet,
  object,
  oneOf,
  onHost,
  optional,
  own,
  required,
  type Rule,
  text,
} from "../config/schema/rule.ts";
import { diskFaults } from "./faults.ts";
import type { Kind } from "./kind.ts";
import { rateLimits } from "./limits.ts";
import { didYouMean, moduleWords, splitWords } from "./words.ts";

/** A virtio block device on a raw image. */
export interface Drive {
  /** What the guest reads as the disk's serial number, at most 20 bytes. */
  drive_id: string;
  /** Path of the image or block device; without it there is a `backend`. */
  path_on_host?: string;
  /**
   * URL of a module that the disk's bytes come from: its default export is a
   * class of {@linkcode DiskModule}s.
   */
  backend?: string;
  /** Passed to the constructor: plain data. */
  backend_options?: unknown;
  /** What happens to some of its requests; `{ "rules": [] }` for later. */
  faults?: FaultPlan;
  /**
   * Makes it the first disk, and adds `root=/dev/vda` and `ro` or `rw` to the
   * command line, unless that says `root=` itself. At most one drive's.
   */
  is_root_device: boolean;
  /** The partition of the root device to boot from: `root=PARTUUID=`. */
  partuuid?: string;
  /** Refuse writes, and never open the image for writing. */
  is_read_only?: boolean;
  /**
   * `Writeback`, the default: the guest's flushes reach the host's disk.
   * `Unsafe`: the guest is offered no flush.
   */
  cache_type?: "Unsafe" | "Writeback";
  /**
   * `Auto`, the default: io_uring where the host has it, but writes to its page
   * cache in the device's thread while they are quick. `Async`: io_uring for
   * all. `Sync`: each request is one blocking call.
   */
  io_engine?: "Auto" | "Async" | "Sync";
  /** Limits of what the guest may transfer; default none. */
  rate_limiter?: RateLimits;
  /** Bypass the host's page cache (`O_DIRECT`). */
  direct?: boolean;
  /** Request queues, 1 to 16; default 1. Linux uses one per vCPU at most. */
  queues?: number;
}

type Defaults =
  | "is_read_only"
  | "cache_type"
  | "io_engine"
  | "direct"
  | "queues";

/** A drive with its defaults. */
export type FilledDrive = Filled<Drive, Defaults>;

const DRIVE: Keys<Drive, Defaults> = {
  drive_id: required(text, "The disk's serial number in the guest."),
  path_on_host: required(
    file as Rule<string | undefined>,
    "A raw image or block device; or there is a `backend`.",
  ),
  is_root_device: required(
    boolean,
    "Makes it `/dev/vda`, and adds `root=` to the command line.",
  ),
  partuuid: optional(text, "`root=PARTUUID=...` instead of `root=/dev/vda`."),
  is_read_only: optional(boolean, "Never opened for writing.", false),
  cache_type: optional(
    oneOf(["Writeback", "Unsafe"]),
    "`Unsafe` offers the guest no flush.",
    "Writeback",
    ", where Firecracker's is `Unsafe`",
  ),
  io_engine: optional(
    oneOf(["Auto", "Async", "Sync"]),
    "io_uring (but for quick writes), for all, or a blocking call per request.",
    "Auto",
    ", where Firecracker's is `Sync`",
  ),
  rate_limiter: optional(
    rateLimits,
    "Limits of what the guest may transfer. Default none.",
  ),
  socket: notYet("A vhost-user backend."),
  direct: own(boolean, "Bypass the host's page cache.", false),
  queues: own(integer(1, BLK_QUEUES), "Request queues.", 1),
  backend: own(module, "A module that the bytes come from, see docs/lab.md."),
  backend_options: own(onHost(anything), "Passed to its constructor."),
  faults: own(diskFaults, "What happens to some of its requests."),
};

const OF_FILE = object<Drive, Defaults>(DRIVE);

/** What is on a module has no file. */
const DRIVE_RULE: Rule<Drive, FilledDrive> = {
  ...OF_FILE,
  read(value, path, findings) {
    const own: Finding[] = [];
    const drive = OF_FILE.read(value, path, own);
    const file = drive?.backend === undefined ? "" : `${path}.path_on_host`;
    findings.push(
      ...own.filter(({ path, code }) => path !== file || code !== "missing"),
    );
    return drive;
  },
};

/** What may follow a disk's file. */
export const DISK_WORDS: readonly string[] = ["ro", "direct", "queues=N"];

/** Not a literal in `import()`: that is read at the start, needed or not. */
const OPEN_IMAGE = new URL(
  "../../devices/backends/block/open_image.ts",
  import.meta.url,
).href;

/** The first disk is `/dev/vda`, and so on. */
export const BLK: Kind<Drive, FilledDrive, BlkData | ModuleBlkData> & {
  list: true;
} = {
  list: true,
  order: 10,
  about: "Disks, at `/dev/vda` and so on.",
  status: "honoured",
  rule: DRIVE_RULE,
  make: new URL("../../devices/virtio/blk/make.ts", import.meta.url),
  early: ({ backend }) => backend !== undefined,

  conflicts(drives) {
    const ids = drives.map(({ drive_id }) => drive_id);
    return [
      ...twice("drives", "drive_id", ids),
      ...secondRoot(drives),
      ...drives.flatMap(source),
      ...shared(drives),
    ];
  },

  /** The root device is `vda`, wherever it stands. */
  inOrder: (drives) => [
    ...drives.filter((drive) => drive.is_root_device),
    ...drives.filter((drive) => !drive.is_root_device),
  ],

  cmdline(drives, given) {
    const root = drives.find((drive) => drive.is_root_device);
    if (root === undefined || given.get("root") !== undefined) return [];
    const { partuuid, is_read_only } = root;
    const where = partuuid ? `PARTUUID=${partuuid}` : "/dev/vda";
    return [`root=${where}`, is_read_only ? "ro" : "rw"];
  },

  async open(drive, stack) {
    const { drive_id: id, queues, rate_limiter: limits } = drive;
    const { io_engine: engine, is_read_only: readOnly } = drive;
    const flush = drive.cache_type !== "Unsafe";
    const offered = { flush, queues, limits };
    if (drive.backend !== undefined) {
      const { backend: module, backend_options: options } = drive;
      const { faults } = drive;
      const data = {
        id,
        module,
        options,
        readOnly,
        device: offered,
        ...(faults && { faults }),
      };
      return { name: id, data, own: true };
    }
    const { closeRawImage, openRawImage }:
      typeof import("../../devices/backends/block/open_image.ts") =
        await import(OPEN_IMAGE);
    const { warning, ...image } = openRawImage({
      path: drive.path_on_host!,
      readOnly,
      direct: drive.direct,
    });
    stack.defer(() => closeRawImage(image));
    const { faults } = drive;
    const data = {
      image,
      id,
      engine,
      options: offered,
      ...(faults && { faults }),
    };
    return { name: id, data, warning };
  },

  options: {
    rows: [{
      flags: "--disk <file>",
      about: "disk: FILE[,ro][,direct][,queues=N], or backend=MODULE" +
        "[,ro][,KEY=VALUE]; repeatable",
      repeatable: true,
      words: DISK_WORDS,
    }],
    read: ({ disk }: { disk: string[] }) =>
      disk.map((text, index) => parseDisk(text, index + 1)),
    texts: {
      "queues": ({ value, expected }, index) =>
        `disk "${diskId(index)}": ${value} queues is not ${expected}`,
      "path_on_host": ({ expected }) => `disk ${expected}`,
    },
  },
};

function secondRoot(drives: readonly Drive[]): Finding[] {
  const isRoot = drives.map((drive) => drive.is_root_device);
  const [first, second] = [isRoot.indexOf(true), isRoot.lastIndexOf(true)];
  if (first === second) return [];
  const path = `drives[${second}].is_root_device`;
  return [conflict(path, `drives[${first}] is the root device already`)];
}

/** A file or a module. */
function source(drive: Drive, index: number): Finding[] {
  const at = `drives[${index}]`;
  if (drive.backend === undefined) return [];
  const path = `${at}.backend`;
  const wrong = (text: string) => [conflict(path, text)];
  if (drive.path_on_host) return wrong("path_on_host is there, too");
  if (drive.direct) return wrong("has no page cache to bypass (direct)");
  return (drive.queues ?? 1) > 1 ? wrong("has one queue") : [];
}

/** Disks that would be changed behind each other's back. */
function shared(drives: readonly Drive[]): Finding[] {
  const storage = drives.map(({ path_on_host: path }) =>
    path === undefined ? [] : storageOf(path)
  );
  return drives.flatMap((drive, index): Finding[] => {
    const other = drives.slice(0, index).find((other, first) =>
      (!drive.is_read_only || !other.is_read_only) &&
      storage[index]!.length > 0 &&
      (storage[first]!.includes(storage[index]![0]!) ||
        storage[index]!.includes(storage[first]![0]!))
    );
    if (other === undefined) return [];
    const text = `"${drive.path_on_host}": is the storage of another disk, ` +
      `"${other.path_on_host}"; add ,ro to both to share it`;
    return [conflict(`drives[${index}].path_on_host`, text)];
  });
}

function diskId(index: number): string {
  return `vireo-${index}`;
}

/**
 * A disk from `FILE[,ro][,direct][,queues=N]`.
 *
 * @param index its place among the disks; 0 is the root disk
 * @throws {VireoError} when a word after the file is unknown
 */
export function parseDisk(text: string, index: number): Drive {
  if (text.startsWith("backend=")) return parseBackend(text.slice(8), index);
  const [path = "", ...words] = splitWords(text);
  const option = index === 0 ? "--root" : "--disk";
  if (path === "") throw new VireoError(`${option} ${text}: no file is named`);
  const drive: Drive = {
    drive_id: diskId(index),
    path_on_host: path,
    is_root_device: false,
    is_read_only: words.includes("ro"),
    direct: words.includes("direct"),
  };
  for (const word of words) {
    const queues = /^queues=(\d+)$/.exec(word)?.[1];
    if (queues) drive.queues = Number(queues);
    else if (word !== "ro" && word !== "direct") {
      throw new VireoError(
        `${option} ${text}: unknown word "${word}"` +
          `${didYouMean(word, DISK_WORDS)}; FILE[,ro][,direct][,queues=N]`,
      );
    }
  }
  return drive;
}

/** A disk on a module, from `MODULE[,ro][,KEY=VALUE]`. */
function parseBackend(text: string, index: number): Drive {
  const option = `${index === 0 ? "--root" : "--disk"} backend`;
  const { module, options: { ro = false, ...options } } = moduleWords(
    option,
    text,
  );
  if (typeof ro !== "boolean") {
    throw new VireoError(`${option}=${text}: ro is not true or false`);
  }
  return {
    drive_id: diskId(index),
    is_root_device: false,
    is_read_only: ro,
    backend: module,
    backend_options: options,
  };
}
