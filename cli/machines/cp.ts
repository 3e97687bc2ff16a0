/**
 * `vireo cp`: a file, or with -r a folder, to or from the guest of a machine of
 * another process. It is there whole, or not at all.
 *
 * @module
 */
import { basename } from "node:path";
import { VireoError } from "../../ffi/error.ts";
import { ifThere } from "../../ffi/file.ts";
import { endInOrder } from "../streams/signals.ts";
import { telling } from "./control.ts";
import { downloadFolder, uploadFolder } from "./cp_folder.ts";
import { ending, feed, start, textOf } from "./guest_script.ts";

/**
 * For the guest's shell, with a path, a file's name and its mode. What is no
 * file, such as a device, is written to as it is.
 */
const TAKE = `p=$1; m=$3
[ -d "$p" ] && p=\${p%/}/$2
[ -d "$p" ] && { echo "$p: is a folder" >&2; exit 1; }
[ -L "$p" ] && p=$(readlink -f "$p")
[ -e "$p" ] && [ ! -f "$p" ] && { cat >"$p"; exit; }
t=$p.vireo-$$
trap 'rm -f "$t"; exit 1' TERM
cat >"$t" && { [ $m = 644 ] || chmod $m "$t"; } && mv -f "$t" "$p" && exit
rm -f "$t"; exit 1`;

/** The same, with a path: its mode on standard error, then what is in it. */
const GIVE = `[ -d "$1" ] && { echo "$1: is a folder" >&2; exit 1; }
stat -Lc %a "$1" >&2 && exec cat "$1"`;

/** One side of a copy that is in a guest. */
export interface GuestPath {
  /** The machine. */
  machine: string;
  /** Absolute, or from `/root`. */
  path: string;
}

/** Options of `vireo cp`. */
export interface CpOptions {
  /** Folders, with all that is in them. */
  recursive?: boolean;
}

/**
 * Copies a file or a folder; one of both is in a guest.
 *
 * @param from a path, or `NAME:PATH`
 * @param to the same; a folder gets the file under its own name
 * @throws {VireoError} it can't, and the old file, if there was one, is there
 */
export async function cp(
  from: string,
  to: string,
  { recursive = false }: CpOptions = {},
): Promise<void> {
  const [source, target] = [guestPath(from), guestPath(to)];
  if ((source === undefined) === (target === undefined)) {
    const both = source ? "both are in guests" : "none is in a guest";
    throw new VireoError(`cp ${from} ${to}: ${both}; one is MACHINE:PATH`);
  }
  // What waits for a socket doesn't keep a program running.
  const running = setInterval(() => {}, 1 << 30);
  endInOrder(); // what is half there goes
  try {
    if (source) {
      const done = recursive && await downloadFolder(source, to);
      if (!done) await download(source, to);
    } else if (recursive && Deno.statSync(from).isDirectory) {
      await uploadFolder(from, target!);
    } else await upload(from, target!);
  } finally {
    clearInterval(running);
  }
}

/** Undefined: it is on this host, as `./a:b` is. */
function guestPath(text: string): GuestPath | undefined {
  const [, machine, path] = /^([^/:]+|.*\.sock):(.*)$/s.exec(text) ?? [];
  // No option, whatever it begins with.
  return machine
    ? { machine, path: path!.startsWith("/") ? path! : `./${path}` }
    : undefined;
}

async function upload(
  from: string,
  { machine, path }: GuestPath,
): Promise<void> {
  using file = Deno.openSync(from);
  const { isDirectory, mode } = file.statSync();
  if (isDirectory) throw new VireoError(`cp: "${from}" is a folder`);
  const octal = ((mode ?? 0o644) & 0o777).toString(8);
  await telling(machine, async () => {
    const process = await start(machine, TAKE, path, basename(from), octal);
    void process.stdout.cancel();
    const fed = feed(process, file.readable.values({ preventCancel: true }));
    const complaint = await textOf(process.stderr);
    fed();
    await ending(process, complaint);
  });
}

async function download(
  { machine, path }: GuestPath,
  to: string,
): Promise<void> {
  const folder = ifThere(() => Deno.statSync(to))?.isDirectory;
  await telling(machine, async () => {
    await using process = await start(machine, GIVE, path);
    using target = new Target(folder ? `${to}/${basename(path)}` : to);
    const written = target.take(process.stdout);
    written.catch((error) =>
      process.abandon(new VireoError(`cp: ${(error as Error).message}`))
    );
    const said = await textOf(process.stderr);
    await ending(process, said.replace(/^[0-7]{1,4}\n/, ""));
    await written;
    target.keep(Number.parseInt(said, 8) & 0o777);
  });
}

/** A file on this host: what it was, until it is kept. */
class Target implements Disposable {
  readonly #path: string;
  readonly #direct: boolean;
  readonly #made: string;
  readonly #file: Deno.FsFile;
  #kept = false;

  /** It replaces a file; what is none, such as a device, is written to. */
  constructor(path: string) {
    const real = ifThere(() => Deno.realPathSync(path));
    this.#path = real ?? path;
    this.#direct = real !== undefined && !Deno.statSync(real).isFile;
    this.#made = this.#direct ? this.#path : `${this.#path}.vireo-${Deno.pid}`;
    const how = this.#direct
      ? { write: true }
      : { write: true, createNew: true };
    this.#file = Deno.openSync(this.#made, how);
  }

  /** All that comes. */
  async take(stream: ReadableStream<Uint8Array>): Promise<void> {
    await stream.pipeTo(this.#file.writable);
  }

  /** It is whole. */
  keep(mode: number): void {
    if (this.#direct) return;
    Deno.chmodSync(this.#made, mode);
    Deno.renameSync(this.#made, this.#path);
    this.#kept = true;
  }

  /** Removes what is not kept. */
  [Symbol.dispose](): void {
    if (!this.#direct && !this.#kept) Deno.removeSync(this.#made);
  }
}
