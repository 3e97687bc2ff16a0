/**
 * Our C programs: the peer without TypeScript, and the sender of frames.
 *
 * @module
 */
import { join } from "node:path";
import type { Vmm } from "./guest.ts";
import { PAYLOAD } from "./vireo.ts";

const SOURCES = join(import.meta.dirname!, "c");
const FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];

/** Paths of the built programs. */
export interface CPrograms {
  /** The smallest VMM that boots the payload. */
  vmm: string;
  /** Sends frames out of an interface. */
  frames: string;
}

/**
 * Builds them into `folder`.
 *
 * @throws {Error} when there is no working gcc
 */
export async function buildCPrograms(folder: string): Promise<CPrograms> {
  const vmm = join(folder, "vmm");
  const frames = join(folder, "frames");
  await compile(vmm, ["vmm.c", "machine.c", "device.c"]);
  await compile(frames, ["frames.c"]);
  return { vmm, frames };
}

/** The peer in C; its device thread sleeps in epoll, or polls the ring. */
export function cVmm(program: string, polling: boolean): Vmm {
  return {
    name: "c",
    settings: polling ? "polls the ring" : "pthreads, epoll, irqfd",
    command: ({ words }) => [
      program,
      PAYLOAD,
      words,
      ...(polling ? ["poll"] : []),
    ],
  };
}

async function compile(output: string, sources: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("gcc", {
    args: [...FLAGS, "-o", output, ...sources],
    cwd: SOURCES,
  }).output();
  if (!success) {
    throw new Error(`gcc ${sources[0]}: ${new TextDecoder().decode(stderr)}`);
  }
}
