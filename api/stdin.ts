/**
 * What is typed to the guest. Only a terminal or a FIFO is read, as anything
 * else may be what a launcher happened to have.
 *
 * @module
 */
import type { Machine } from "../vmm/machine.ts";

const CHUNK = 4096;

/** Passes standard input on to the guest, as fast as it takes it. */
export function feedStdin(machine: Machine): void {
  if (Deno.stdin.isTerminal()) Deno.stdin.setRaw(true);
  else if (!isFifo()) return;
  void feed(machine);
}

async function feed(machine: Machine): Promise<void> {
  const chunk = new Uint8Array(CHUNK);
  try {
    for (;;) {
      const count = await Deno.stdin.read(chunk);
      if (count === null) return;
      await machine.input(chunk.slice(0, count));
    }
  } catch {
    // It has gone; the guest stays.
  }
}

function isFifo(): boolean {
  try {
    return Deno.statSync("/dev/stdin").isFifo ?? false;
  } catch {
    return false;
  }
}
