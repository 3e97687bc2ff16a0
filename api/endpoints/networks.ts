/**
 * Network interfaces.
 *
 * @module
 */
import { network, type NetworkBody, networkUpdate } from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import { merged, networkConfig } from "../microvm/draft.ts";
import type { MicroVm } from "../microvm/microvm.ts";
import { fault, objection, tapText } from "../microvm/texts.ts";
import { SystemError } from "../../ffi/errno.ts";
import type { Kind } from "../../vmm/devices/kind.ts";
import { NET } from "../../vmm/devices/net.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";
import { noHotPlug } from "./hot_plug.ts";

const PREFIX = "Network config error";

/** `/network-interfaces/ID` */
export const NETWORK_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "PUT",
    segment: "network-interfaces",
    rest: "id",
    when: "always",
    about:
      "Adds a network interface, or puts it in the place of the one of its name.",
    body: network,
    idKey: "iface_id",
    prefix: PREFIX,
    counter: "network",
    async run({ vm }, body) {
      noHotPlug(vm, PREFIX);
      checkAlone(vm, body);
      // Whatever comes of it: the one of its name is no more.
      forget(vm, body.iface_id);
      const draft = vm.tried((draft) => {
        draft.networks = [...draft.networks, body];
      });
      try {
        const config = draft.device("network-interfaces", networkConfig(body));
        await vm.held.open(body.iface_id, NET as Kind, config);
      } catch (error) {
        if (!(error instanceof SystemError)) throw fault(PREFIX, error);
        throw new Fault(tapText(objection(error), body.host_dev_name));
      }
      vm.become(draft);
    },
  }),
  endpoint({
    method: "PATCH",
    segment: "network-interfaces",
    rest: "id",
    when: "after",
    about: "Gives a running interface other limits.",
    body: networkUpdate,
    idKey: "iface_id",
    prefix: PREFIX,
    counter: "network",
    async run({ vm }, { iface_id, ...limiters }) {
      const index = vm.draft.networks
        .findIndex((one) => one.iface_id === iface_id);
      const old = vm.draft.networks[index];
      if (old === undefined) {
        throw new Fault(
          `${PREFIX}: Unable to find the network device: ${iface_id}`,
        );
      }
      await vm.limit(iface_id, limiters);
      const { rx_rate_limiter: rx, tx_rate_limiter: tx } = limiters;
      const draft = vm.draft.copy();
      draft.networks[index] = {
        ...old,
        rx_rate_limiter: merged(old.rx_rate_limiter, rx),
        tx_rate_limiter: merged(old.tx_rate_limiter, tx),
      };
      vm.become(draft);
    },
  }),
  endpoint({
    method: "DELETE",
    segment: "network-interfaces",
    rest: "id",
    when: "after",
    about: "Would take an interface away; there is no hot plug.",
    prefix: PREFIX,
    run: ({ vm }) => noHotPlug(vm, PREFIX),
  }),
];

/** @throws {Fault} it can't be beside the others */
function checkAlone(
  vm: MicroVm,
  { iface_id, guest_mac }: NetworkBody,
): void {
  const mac = guest_mac?.toLowerCase();
  const taken = vm.draft.networks.some((other) =>
    other.iface_id !== iface_id && mac !== undefined &&
    other.guest_mac?.toLowerCase() === mac
  );
  if (!taken) return;
  throw new Fault(`${PREFIX}: The MAC address is already in use: ${mac}`);
}

function forget(vm: MicroVm, id: string): void {
  vm.held.release(id);
  const draft = vm.draft.copy();
  draft.networks = draft.networks.filter(({ iface_id }) => iface_id !== id);
  vm.become(draft);
}
