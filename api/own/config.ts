/**
 * What Firecracker's requests have no words for, in the form of Vireo's
 * configuration file: it goes over what they say.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { keysThatName, nameOf } from "../../vmm/snapshot/trust.ts";
import type { Api } from "../endpoints/endpoint.ts";
import { checkAllowed } from "../endpoints/own.ts";
import { isPart, mergedParts } from "../microvm/merged.ts";

/** Keys of the file that may be in it. */
const KEYS = [
  "machine-config",
  "drives",
  "network-interfaces",
  "console",
  "devices",
  "bus-devices",
];

/**
 * Adds to the machine.
 *
 * @param own what is added; a device of a name that is there has it, too
 * @throws {Error} what is wrong with it; nothing has changed
 */
export function addOwn(api: Api, own: unknown): void {
  if (!isPart(own)) throw new VireoError("config: is no object");
  const other = Object.keys(own).find((key) => !KEYS.includes(key));
  if (other !== undefined) {
    const keys = KEYS.join(", ");
    throw new VireoError(`config: "${other}" is not one of ${keys}`);
  }
  const code = [...keysThatName("code"), "faults"];
  const found = keysIn(own).find((key) => code.includes(key));
  if (found !== undefined) checkAllowed(api, found);
  const { vm } = api;
  const draft = vm.tried((draft) => {
    draft.own = mergedParts(draft.own, own) as typeof draft.own;
  });
  vm.become(draft);
  // What was opened without it is opened anew, at the start.
  for (const part of Object.values(own).flat()) {
    const name = nameOf(part);
    if (typeof name === "string") vm.held.release(name);
  }
}

/** All keys of all objects in it. */
function keysIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(keysIn);
  if (!isPart(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    inner === null ? [] : [key, ...keysIn(inner)]
  );
}
