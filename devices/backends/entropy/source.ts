/**
 * Where random bytes come from. It knows nothing of virtqueues.
 *
 * @module
 */
import { Errno, errno } from "../../../ffi/errno.ts";
import { libc } from "../../../ffi/libc.ts";

/** A source of random bytes. */
export interface EntropySource {
  /**
   * Fills `length` bytes at the host address `address`, which the caller has
   * checked, or as many as there are; returns how many.
   */
  fill(address: number, length: number): number;
}

/** The host kernel's generator, getrandom(2). It never runs dry. */
export const getrandom: EntropySource = {
  fill(address: number, length: number): number {
    let done = 0;
    while (done < length) {
      // A bigint per call is a tenth of what the call itself costs.
      const at = BigInt(address + done);
      const got = libc.getrandom(at, length - done, 0);
      if (got > 0) done += got;
      else if (errno() !== Errno.EINTR) break;
    }
    return done;
  },
};
