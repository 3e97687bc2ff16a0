/**
 * For tests: a KVM whose bus has no place for another doorbell.
 *
 * @module
 */
import { Errno } from "../errno.ts";
import { KvmRequest, OtherKvm } from "./other_kvm.ts";

/** From now on, this thread's KVM_IOEVENTFD fails. */
export function failingDoorbells(): Disposable {
  return new OtherKvm(
    {},
    ({ request }) =>
      request === KvmRequest.IOEVENTFD ? -Errno.ENOSPC : undefined,
  );
}
