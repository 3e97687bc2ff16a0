/**
 * How many descriptors this process may have.
 *
 * @module
 */
import { check } from "./errno.ts";
import { VireoError } from "./error.ts";
import { libc } from "./libc.ts";

const RLIMIT_NOFILE = 7;

/** What the smallest machine takes, to be asked for before anything else. */
export const MACHINE_DESCRIPTORS = 24;

/**
 * Makes sure of `count` descriptors more than are open. A thread that Deno can't
 * have one for ends the process, and no handler sees it.
 *
 * @param what needs them, in errors: `2 vCPUs and 3 devices`
 * @throws {VireoError} so many are not allowed
 */
export function needDescriptors(count: number, what: string): void {
  const limits = new BigUint64Array(2); // soft, hard
  check(libc.getrlimit(RLIMIT_NOFILE, limits), "getrlimit");
  const open = [...Deno.readDirSync("/proc/self/fd")].length;
  if (open + count <= limits[0]!) return;
  throw new VireoError(
    `${limits[0]} descriptors are allowed, which is too few for ${what}; ` +
      `raise the limit: ulimit -n ${roundUp(open + count)}`,
  );
}

/** To a number that one would type. */
function roundUp(count: number): number {
  return 2 ** Math.ceil(Math.log2(count));
}
