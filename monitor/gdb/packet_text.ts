/**
 * What stands in packets: numbers, parts of documents, breakpoints, and which
 * threads are to do what.
 *
 * @module
 */
import type { HardwareStop } from "../../ffi/kvm/guest_debug.ts";
import { VireoError } from "../../ffi/error.ts";
import type { Go } from "../../vmm/introspection/debugger.ts";

/**
 * A small number in digits of base 16.
 *
 * @throws {VireoError} it is none
 */
export function hexNumber(text = ""): number {
  if (/^[0-9a-f]{1,8}$/i.test(text)) return parseInt(text, 16);
  throw new VireoError("no number");
}

/** A part of a document, as `qXfer` answers it: `m`, or `l` for the last one. */
export function part(text: string, offset: number, length: number): string {
  const piece = text.slice(offset, offset + length);
  return (offset + length < text.length ? "m" : "l") + piece;
}

/** What `Z` and `z` ask for. */
export interface AskedBreakpoint {
  /** The breakpoint. */
  stop: HardwareStop;
  /** gdb asked for one in memory; it has one of the CPU's all the same. */
  software: boolean;
  /** It is put there, or taken back. */
  insert: boolean;
}

/** Type 3, a stop at reads alone, is not among what x86 can. */
const KINDS: Readonly<Record<string, HardwareStop["kind"]>> = {
  0: "execute",
  1: "execute",
  2: "write",
  4: "access",
};

/** `Z1,ffffffff81000000,1`; undefined: there is no such type. */
export function breakpointOf(text: string): AskedBreakpoint | undefined {
  const match = /^[Zz](\d),([0-9a-f]{1,16}),([0-9a-f]{1,4})(;|$)/i.exec(text);
  if (match === null) return undefined;
  const [, type, digits, size] = match as unknown as string[];
  const kind = KINDS[type!];
  if (kind === undefined) return undefined;
  const address = BigInt(`0x${digits}`);
  const insert = text[0] === "Z";
  if (kind === "execute") {
    return { stop: { address, kind }, software: type === "0", insert };
  }
  const length = parseInt(size!, 16);
  const fits = [1, 2, 4, 8].includes(length) && address % BigInt(length) === 0n;
  if (!fits) return undefined;
  return { stop: { address, kind, length }, software: false, insert };
}

/**
 * `vCont;s:1;c`: the first action that names a thread, or all, is its own; one
 * without any waits. Undefined: it can't be understood.
 */
export function goOf(text: string): ((thread: number) => Go) | undefined {
  const actions: { go: Go; thread: number | undefined }[] = [];
  for (const action of text.split(";").slice(1)) {
    const match = /^([csCS])([0-9a-f]{2})?(?::(-1|0|[0-9a-f]{1,4}))?$/i.exec(
      action,
    );
    if (match === null) return undefined;
    const [, letter, , id] = match;
    const go = letter!.toLowerCase() === "s" ? "step" : "run";
    const all = id === undefined || id === "-1" || id === "0";
    actions.push({ go, thread: all ? undefined : parseInt(id, 16) });
  }
  if (actions.length === 0) return undefined;
  return (of) =>
    actions.find(({ thread }) => thread === undefined || thread === of)?.go ??
      "wait";
}
