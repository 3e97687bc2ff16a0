/**
 * Devices of which there is one at most.
 *
 * @module
 */
import { entropy, serial, vsock } from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import { fault } from "../microvm/texts.ts";
import type { Kind } from "../../vmm/devices/kind.ts";
import { VSOCK } from "../../vmm/devices/vsock.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

/** `/vsock`, `/entropy`, `/serial` */
export const DEVICE_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "PUT",
    segment: "vsock",
    when: "before",
    about: "Adds sockets between guest and host.",
    body: vsock,
    prefix: "Vsock config error",
    counter: "vsock",
    deprecated: ({ vsock_id }) => vsock_id !== undefined,
    async run({ vm }, body) {
      const draft = vm.tried((draft) => draft.vsock = body);
      const { guest_cid, uds_path } = body;
      try {
        await vm.held.open("vsock", VSOCK as Kind, { guest_cid, uds_path });
      } catch (error) {
        throw fault("Vsock config error", error);
      }
      vm.become(draft);
    },
  }),
  endpoint({
    method: "PUT",
    segment: "entropy",
    when: "before",
    about: "Adds a source of random numbers.",
    body: entropy,
    prefix: "Entropy config error",
    run: ({ vm }, body) => vm.change((draft) => draft.entropy = body),
  }),
  endpoint({
    method: "PUT",
    segment: "serial",
    when: "before",
    about: "Sends the console's output to a file.",
    body: serial,
    prefix: "Serial config error",
    counter: "serial",
    run({ vm }, body) {
      if (body.rate_limiter !== undefined) {
        throw new Fault(
          "Serial config error: rate_limiter is not supported by Vireo: " +
            "the guest waits for who reads slowly",
        );
      }
      // It says nothing of the machine: one from a snapshot has it, too.
      const draft = vm.draft.copy();
      draft.serial = body;
      vm.become(draft);
    },
  }),
];
