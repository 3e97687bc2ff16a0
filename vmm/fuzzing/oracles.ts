/**
 * What tells that a driver has gone wrong.
 *
 * @module
 */
import type { MachineEnd } from "../messages.ts";
import type { TryEnd } from "./try.ts";

/** Looks at a try; each of its methods says in a line what is wrong, if it is. */
export interface Oracle {
  /** What it finds: `kernel log`. */
  readonly name: string;
  /** A line of the guest's serial port; what is wrong with it ends the try. */
  line?(line: string): string | undefined;
  /** Why the try has ended, and as what, if the guest ended the machine. */
  end?(end: TryEnd, machine: MachineEnd | undefined): string | undefined;
}

/** How Linux begins to tell of a mistake of its own. */
const TROUBLE =
  /BUG: |KASAN: |UBSAN: |KMSAN: |KCSAN: |Oops[: ]|Kernel panic|general protection|stack segment|divide error|invalid opcode|unable to handle|WARNING: CPU|refcount_t: |list_(add|del) corruption|soft lockup|hung_task|rcu.*detected stall|Unhandled/i;

/** Linux says so on its console. */
export const kernelLog: Oracle = {
  name: "kernel log",
  line: (line) => TROUBLE.test(line) ? line : undefined,
};

/** The guest triple-faults, resets, or does what KVM can't carry out. */
export const crash: Oracle = {
  name: "crash",
  end(_end, machine) {
    if (machine === undefined) return undefined;
    const { reason, message = reason } = machine;
    return message.split("\n")[0];
  },
};

/**
 * The try uses its budget of instructions or time up, or the guest sleeps, before
 * it has come as far as it should. Not for tries that are cut short on purpose.
 */
export const hang: Oracle = {
  name: "hang",
  end: (end) =>
    end === "instructions" || end === "time" || end === "idle"
      ? `no end: ${end}`
      : undefined,
};

/** A line of the guest's that fits `pattern`. */
export function says(pattern: RegExp): Oracle {
  return {
    name: `says ${pattern}`,
    line: (line) => pattern.test(line) ? line : undefined,
  };
}

/** What makes two findings one: numbers may differ. */
export function kindOf(oracle: string, text: string): string {
  return `${oracle}: ${
    text.replace(/^\[ *[\d.]+\] */, "").replace(
      /0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+/gi,
      "N",
    )
  }`;
}
