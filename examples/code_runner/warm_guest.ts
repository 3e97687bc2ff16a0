/**
 * A Linux guest whose shell waits for one script, saved; and what becomes of a
 * script in a machine of its own that goes on from there.
 *
 * @module
 */
import {
  Machine,
  type MachinePool,
  prepare,
  prepared,
  type Snapshot,
} from "../../mod.ts";

/** The most that may be asked of one script. */
export interface Limits {
  /** Milliseconds until its machine is stopped. */
  milliseconds: number;
  /** Bytes of its output; what is more is cut off, and it ends. */
  output: number;
}

/** How a script has ended. */
export interface ScriptEnd {
  /** Its exit status; null: it was stopped, or its machine ended before. */
  status: number | null;
  /** Why it has none. */
  reason?: "time" | "output" | "cancelled" | "machine";
  /** Milliseconds from the request for a machine to this end. */
  milliseconds: number;
}

/**
 * The shell reads a script up to a line, without a new process, runs it, and
 * says with that line how it ended. Its terminal passes all bytes as they are.
 */
const WAITS = "stty raw -echo -opost; PS1= PS2=; echo WARM; s=; read -r end; " +
  'while IFS= read -r l; do [ "$l" = "$end" ] && break; s="$s$l\n"; done; ' +
  `trap 'r=$?; echo; echo "$end $r"' EXIT; cd /tmp; eval "$s" < /dev/null; exit`;

const encoder = new TextEncoder();

/**
 * Boots the prepared Linux, without a network and without a disk that could be
 * written to, until its shell waits.
 *
 * @param memory MiB of RAM: all that a script has
 */
export async function warmUp(memory: number): Promise<Snapshot> {
  const { kernel, rootfs } = await prepared() ?? await prepare();
  let output = "";
  const warm = Promise.withResolvers<void>();
  const ready = Promise.withResolvers<void>();
  await using machine = await Machine.create({
    "boot-source": {
      kernel_image_path: kernel,
      boot_args: "console=ttyS0 reboot=k panic=-1 quiet " +
        "clocksource=kvm-clock VIREO_NONCE=warm",
    },
    "machine-config": { mem_size_mib: memory },
    drives: [{
      drive_id: "root",
      path_on_host: rootfs,
      is_root_device: true,
      is_read_only: true,
    }],
  }, {
    onOutput(bytes) {
      output += new TextDecoder().decode(bytes);
      if (output.includes("_vireo:warm:ready")) ready.resolve();
      if (output.includes("\nWARM\n")) warm.resolve();
    },
  });
  machine.start();
  const ended = machine.wait().then(() => {
    throw new Error(`the guest has ended before it was warm:\n${output}`);
  });
  await Promise.race([ready.promise, ended]);
  machine.input(encoder.encode(`${WAITS}\n`));
  await Promise.race([warm.promise, ended]);
  const snapshot = await machine.snapshot();
  ended.catch(() => {});
  return snapshot;
}

/**
 * Runs a script in a machine of its own, which is gone afterwards.
 *
 * @param pool of machines that go on from {@linkcode warmUp}'s
 * @param onOutput gets what it prints, as it prints it
 * @param cancelled stops it
 */
export async function runScript(
  pool: MachinePool,
  script: string,
  limits: Limits,
  onOutput: (bytes: Uint8Array) => void,
  cancelled: AbortSignal,
): Promise<ScriptEnd> {
  const begun = performance.now();
  const done = Promise.withResolvers<Omit<ScriptEnd, "milliseconds">>();
  // Nobody can know it before, so no output can look like it.
  const mark = crypto.randomUUID();
  const tail = new Tail(`\n${mark} `);
  let left = limits.output;
  await using machine = await pool.fork({
    onOutput(bytes) {
      const printed = tail.take(bytes);
      const shown = printed.subarray(0, left);
      left -= shown.length;
      if (shown.length > 0) onOutput(shown);
      const cut = shown.length < printed.length;
      if (cut) done.resolve({ status: null, reason: "output" });
      else if (tail.status !== undefined) done.resolve({ status: tail.status });
    },
  });
  const stop = (reason: ScriptEnd["reason"]) => () =>
    done.resolve({ status: null, reason });
  const timer = setTimeout(stop("time"), limits.milliseconds);
  cancelled.addEventListener("abort", stop("cancelled"));
  if (cancelled.aborted) stop("cancelled")();
  machine.wait().then(stop("machine"));
  machine.input(encoder.encode(`${mark}\n${script}\n${mark}\n`));
  try {
    return { ...await done.promise, milliseconds: performance.now() - begun };
  } finally {
    clearTimeout(timer);
  }
}

/** Output until a mark, with a number behind it. */
class Tail {
  /** The number, once its line is whole. */
  status: number | undefined;
  readonly #mark: string;
  #held = ""; // one character for each byte

  constructor(mark: string) {
    this.#mark = mark;
  }

  /** Takes bytes; returns those that can't belong to the mark any more. */
  take(bytes: Uint8Array): Uint8Array {
    this.#held += String.fromCharCode(...bytes);
    const at = this.#held.indexOf(this.#mark);
    const end = at < 0 ? this.#held.length - this.#mark.length : at;
    const printed = this.#held.slice(0, Math.max(0, end));
    this.#held = this.#held.slice(printed.length);
    const line = /^(\d+)\r?\n/.exec(this.#held.slice(this.#mark.length));
    if (at >= 0 && line) this.status = Number(line[1]);
    return Uint8Array.from(printed, (byte) => byte.charCodeAt(0));
  }
}
