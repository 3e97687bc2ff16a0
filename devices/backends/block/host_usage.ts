/**
 * What the host itself does with block devices, and with files behind loop
 * devices: from sysfs and proc(5). What can't be read is not known.
 *
 * @module
 */

/** A loop device. */
export interface Loop {
  /** Its name in `/dev`. */
  name: string;
  /** Its numbers, as {@linkcode deviceNumbers} has them. */
  numbers: string;
}

/** A device's major and minor number: `7:0`. */
export function deviceNumbers(rdev: number): string {
  const major = rdev >>> 8 & 0xfff;
  const minor = rdev & 0xff | rdev >>> 12 & 0xfff00;
  return `${major}:${minor}`;
}

/**
 * What a path is, and what that is a part of or made of, as texts to compare:
 * first itself, then the whole disk, the file behind a loop device. Empty when
 * it can't be looked at.
 */
export function storageOf(path: string): string[] {
  const info = stat(path);
  if (info === undefined) return [];
  if (!info.isBlockDevice) return [`file ${info.dev} ${info.ino}`];
  const numbers = deviceNumbers(info.rdev ?? 0);
  const backing = backingOf(numbers);
  return [
    `device ${numbers}`,
    ...wholeOf(numbers).map((whole) => `device ${whole}`),
    ...backing === undefined ? [] : storageOf(backing),
  ];
}

/** The file behind a loop device, or behind the disk that it is a part of. */
export function backingOf(numbers: string): string | undefined {
  const folder = `/sys/dev/block/${numbers}`;
  return read(`${folder}/loop/backing_file`) ??
    read(`${folder}/../loop/backing_file`);
}

/** The loop devices that a file is behind. */
export function loopsOver({ dev, ino }: Deno.FileInfo): Loop[] {
  return list("/sys/block").flatMap((name) => {
    if (!name.startsWith("loop")) return [];
    const file = read(`/sys/block/${name}/loop/backing_file`);
    const info = file === undefined ? undefined : stat(file);
    if (info?.dev !== dev || info.ino !== ino) return [];
    return [{ name, numbers: read(`/sys/block/${name}/dev`) ?? "" }];
  });
}

/**
 * What the host uses a block device for, or a part of it, or the disk that it
 * is a part of: `is mounted at "/mnt"`. Undefined when nothing is known.
 *
 * @param changing only what may change it: no file system that is mounted to be
 *   read
 */
export function usageOf(numbers: string, changing = false): string | undefined {
  const parts = partitionsOf(numbers);
  for (const one of [numbers, ...parts, ...wholeOf(numbers)]) {
    const place = mountOf(one, changing);
    if (place !== undefined) return `is mounted at "${place}"`;
    const [holder] = list(`/sys/dev/block/${one}/holders`);
    if (holder !== undefined) return `is a part of ${holder}`;
    if (isSwap(one)) return "is swapped to";
  }
}

function partitionsOf(numbers: string): string[] {
  const folder = `/sys/dev/block/${numbers}`;
  return list(folder).flatMap((name) => {
    const isPart = read(`${folder}/${name}/partition`) !== undefined;
    return isPart ? read(`${folder}/${name}/dev`) ?? [] : [];
  });
}

/** The disk that a partition is a part of. */
function wholeOf(numbers: string): string[] {
  const folder = `/sys/dev/block/${numbers}`;
  if (read(`${folder}/partition`) === undefined) return [];
  return [read(`${folder}/../dev`) ?? []].flat();
}

function mountOf(numbers: string, changing: boolean): string | undefined {
  for (const line of read("/proc/self/mountinfo")?.split("\n") ?? []) {
    // proc(5): id, parent, device, root, place, ... - type, source, options
    const [before = "", after = ""] = line.split(" - ");
    const [, , device, , place = ""] = before.split(" ");
    const [, source = "", options = ""] = after.split(" ");
    // Some file systems have a device of their own.
    if (device !== numbers && !isDevice(source, numbers)) continue;
    if (changing && /^ro\b/.test(options)) continue;
    return place.replaceAll(
      /\\(\d{3})/g,
      (_, code) => String.fromCharCode(parseInt(code, 8)),
    );
  }
}

function isSwap(numbers: string): boolean {
  const lines = read("/proc/swaps")?.split("\n").slice(1) ?? [];
  return lines.some((line) => isDevice(line.split(/\s/)[0] ?? "", numbers));
}

function isDevice(path: string, numbers: string): boolean {
  if (!path.startsWith("/dev/")) return false;
  const info = stat(path);
  return info?.isBlockDevice === true &&
    deviceNumbers(info.rdev ?? 0) === numbers;
}

function stat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch {
    return undefined;
  }
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trimEnd();
  } catch {
    return undefined;
  }
}

function list(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map(({ name }) => name);
  } catch {
    return [];
  }
}
