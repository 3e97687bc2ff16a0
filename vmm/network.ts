/**
 * What a network interface of the configuration is made of on the host.
 *
 * @module
 */
import { NET_HEADER_SIZE } from "../devices/virtio/net_spec.ts";
import { closeFd } from "../ffi/file.ts";
import { openTap, type Tap } from "../ffi/tap.ts";
import { VireoError } from "../ffi/vireo_error.ts";
import {
  macAddress,
  MAX_QUEUE_PAIRS,
  type NetworkInterface,
} from "./config.ts";

/** An interface for the device worker to make. */
export interface NetSpec {
  kind: "net";
  /** What the configuration calls it. */
  name: string;
  /** The TAP's queues, one per pair of the device's. */
  taps: Tap[];
  /** The guest's MAC address. */
  mac: Uint8Array;
}

/**
 * Opens what `network` names; `stack` closes it.
 *
 * @throws {VireoError} when it can't be had
 */
export function openNetwork(
  network: NetworkInterface,
  stack: DisposableStack,
): NetSpec {
  const { iface_id, host_dev_name, guest_mac, netns, queues = 1 } = network;
  if (!Number.isInteger(queues) || queues < 1 || queues > MAX_QUEUE_PAIRS) {
    throw new VireoError(
      `network "${iface_id}": queues: ${queues} is not 1 to ${MAX_QUEUE_PAIRS}`,
    );
  }
  const mac = macAddress(guest_mac, host_dev_name);
  const taps = Array.from({ length: queues }, () => {
    const tap = openTap({
      name: host_dev_name,
      netns,
      headerSize: NET_HEADER_SIZE,
      multiQueue: queues > 1,
    });
    stack.defer(() => closeFd(tap.fd));
    return tap;
  });
  return { kind: "net", name: iface_id, taps, mac };
}
