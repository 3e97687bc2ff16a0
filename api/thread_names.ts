/**
 * Names of the vCPUs' threads, by which programs look for them.
 *
 * @module
 */
import type { Machine } from "../vmm/machine.ts";

/** How often it is looked whether they have begun, in milliseconds. */
const INTERVAL = 10;
const LOOKS = 500;

/** Names each as soon as it is there. */
export async function nameVcpus(machine: Machine): Promise<void> {
  for (let look = 0; look < LOOKS; look++) {
    const threads = machine.threads;
    if (threads.every((thread) => thread !== 0)) {
      return threads.forEach((thread, id) => name(thread, `fc_vcpu ${id}`));
    }
    await new Promise((done) => setTimeout(done, INTERVAL));
  }
}

function name(thread: number, text: string): void {
  try {
    Deno.writeTextFileSync(`/proc/self/task/${thread}/comm`, text);
  } catch {
    // It has ended, or there is no /proc.
  }
}
