/**
 * Where a snapshot comes from: the host that it was saved on, and by what.
 *
 * @module
 */
import project from "../../../deno.json" with { type: "json" };
import { VireoError } from "../../../ffi/error.ts";
import { object } from "../codec.ts";

/** Who saved a snapshot. */
export interface Origin {
  /** Vireo's version. */
  vireo: string;
  /** The host's name. */
  host: string;
  /** The release of its kernel. */
  kernel: string;
  /** Its CPU: vendor, family and model, then the name. */
  cpu: string;
}

/** It is shown on terminals. */
const TEXT = /^[\x20-\x7e]{0,255}$/;
/** More than the first processor's lines of proc(5). */
const CPU_INFO = 4096;

/** This process, here. */
export function thisOrigin(): Origin {
  return {
    vireo: project.version,
    host: Deno.hostname(),
    kernel: Deno.osRelease(),
    cpu: cpuHere(),
  };
}

let known: string | undefined; // the kernel asks each processor for its speed

function cpuHere(): string {
  return known ??= readCpu();
}

function readCpu(): string {
  using file = Deno.openSync("/proc/cpuinfo");
  const bytes = new Uint8Array(CPU_INFO);
  const text = new TextDecoder().decode(
    bytes.subarray(0, file.readSync(bytes) ?? 0),
  );
  const field = (name: string) =>
    new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1] ?? "?";
  const numbers = ["vendor_id", "cpu family", "model"].map(field);
  return `${numbers.join(" ")}, ${field("model name")}`;
}

/**
 * Who saved it, in a state that was read.
 *
 * @throws {VireoError} it says no such thing
 */
export function readOrigin(value: unknown): Origin {
  const found = object(value, "origin");
  const text = (name: keyof Origin) => {
    const text = found[name];
    if (typeof text === "string" && TEXT.test(text)) return text;
    throw new VireoError(`origin.${name}: is not a line of text`);
  };
  return {
    vireo: text("vireo"),
    host: text("host"),
    kernel: text("kernel"),
    cpu: text("cpu"),
  };
}

/**
 * A guest goes on with the instructions that it has found: not on another CPU.
 *
 * @throws {VireoError} this host's is another one
 */
export function checkCpu(saved: Origin): void {
  const here = cpuHere();
  const kind = (text: string) => text.split(",")[0];
  if (kind(saved.cpu) === kind(here)) return;
  throw new VireoError(`was saved on another CPU (${saved.cpu}; here ${here})`);
}
