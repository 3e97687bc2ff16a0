/**
 * `bin/jailer`: puts Vireo, or another program, into a jail, as Firecracker's
 * jailer does.
 *
 * @module
 */
import { FIRECRACKER_VERSION } from "../api/version.ts";
import { Errno, errno, VireoError } from "../ffi/errno.ts";
import { closeFd } from "../ffi/file.ts";
import { libc } from "../ffi/libc.ts";
import { made } from "./error.ts";
import { NO_CHILD, start, startFirst } from "./execute.ts";
import { FLAGS_TEXT, parseFlags } from "./flags.ts";
import { enter, type Jail, jailOf, now } from "./jail.ts";

const VERSION = `Jailer v${FIRECRACKER_VERSION}\n`;
const HELP = `${VERSION}
${FLAGS_TEXT}
What follows -- is for the program in the jail.
`;

/** The first word of a jailer that another has started. No flag is like it. */
const SECOND = "second";

/** What the second jailer tells the first. */
const READY = 1, FAILED = 2;

function jailer(args: readonly string[]): void {
  const started = now();
  const second = args[0] === SECOND ? Number(args[1]) : undefined;
  const flags = parseFlags(second === undefined ? args : args.slice(2));
  if (typeof flags === "string") {
    console.log(flags === "help" ? HELP : VERSION);
    return;
  }
  const jail = jailOf(flags);
  if (second === undefined && (flags.daemonize || flags.newPidNs)) {
    startSecond(jail, args);
    return;
  }
  const tell = (word: number) => {
    if (second !== undefined) {
      libc.write(second, Uint8Array.of(word), 1n);
    }
  };
  try {
    enter(jail, started, () => tell(READY));
  } catch (error) {
    tell(FAILED);
    throw error;
  }
}

/**
 * Starts a jailer that does the rest: in a PID namespace it is the first
 * process, and any other than this one may begin a session. It is awaited until
 * it is the program in the jail.
 */
function startSecond({ flags }: Jail, args: readonly string[]): void {
  const [read, write] = pipe();
  const main = new URL(import.meta.url).pathname;
  const config = new URL("../deno.json", import.meta.url).pathname;
  const deno = Deno.execPath();
  const words = [
    ...[deno, "run", "--quiet", "-A", "--config", config, main],
    ...[SECOND, `${write}`, ...args],
  ];
  const pid = (flags.newPidNs ? startFirst : start)(deno, words);
  closeFd(write);
  if (lastByte(read) === READY) return;
  // It has said why.
  libc.waitpid(pid, new Uint8Array(4), 0);
  Deno.exit(1);
}

function pipe(): [number, number] {
  const fds = new Int32Array(2);
  made(libc.pipe2(new Uint8Array(fds.buffer), 0), NO_CHILD);
  return [fds[0]!, fds[1]!];
}

/** The last that is written to a pipe before all have closed it. */
function lastByte(fd: number): number | undefined {
  const byte = new Uint8Array(1);
  let last: number | undefined;
  for (;;) {
    const count = Number(libc.read(fd, byte, 1n));
    if (count > 0) last = byte[0];
    else if (count === 0 || errno() !== Errno.EINTR) return last;
  }
}

try {
  jailer(Deno.args);
} catch (error) {
  if (!(error instanceof VireoError)) throw error;
  console.error(error.message);
  Deno.exit(1);
}
