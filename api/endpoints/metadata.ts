/**
 * The metadata service: its data, and where it is.
 *
 * @module
 */
import { any } from "../body/shape.ts";
import { mmdsConfig, type MmdsConfigBody } from "../body/shapes.ts";
import { Fault } from "../fault.ts";
import type { MicroVm } from "../microvm/microvm.ts";
import type { Finding } from "../../vmm/config/schema/rule.ts";
import { metadataService } from "../../vmm/devices/mmds.ts";
import { type Endpoint, endpoint } from "./endpoint.ts";

const PREFIX = "MMDS error";
const CONFIG = "MMMDS config error"; // as clients know it
const NOT_THERE = `${PREFIX}: The MMDS data store is not initialized.`;

/** `/mmds`, `/mmds/config` */
export const METADATA_ENDPOINTS: readonly Endpoint[] = [
  endpoint({
    method: "PUT",
    segment: "mmds",
    rest: ["config"],
    when: "before",
    about: "Puts the metadata service on interfaces.",
    body: mmdsConfig,
    prefix: CONFIG,
    counter: "mmds",
    deprecated: ({ version }) => version === "V1",
    run({ vm }, body) {
      checkConfig(vm, body);
      vm.change((draft) => draft.mmds = body);
    },
  }),
  endpoint({
    method: "GET",
    segment: "mmds",
    rest: [],
    when: "always",
    about: "The metadata.",
    prefix: PREFIX,
    counter: "mmds",
    run: ({ vm }) => vm.metadata.store ?? {},
  }),
  endpoint({
    method: "PUT",
    segment: "mmds",
    rest: [],
    when: "always",
    about: "Replaces the metadata.",
    body: any,
    prefix: PREFIX,
    counter: "mmds",
    run: ({ vm }, store) => put(vm, store),
  }),
  endpoint({
    method: "PATCH",
    segment: "mmds",
    rest: [],
    when: "always",
    about: "Merges into the metadata (RFC 7396).",
    body: any,
    prefix: PREFIX,
    counter: "mmds",
    run({ vm }, patch) {
      if (!vm.metadata.isThere) throw new Fault(NOT_THERE);
      return put(vm, merged(vm.metadata.store, patch));
    },
  }),
];

/** @throws {Fault} the guest couldn't get at it, or it is too much */
async function put(vm: MicroVm, store: unknown): Promise<void> {
  if (vm.started && vm.draft.mmds === undefined) throw new Fault(NOT_THERE);
  if (!vm.metadata.fits(store)) {
    throw new Fault(
      "MMDS limit exceeded error: The MMDS patch request doesn't fit.",
      413,
    );
  }
  await vm.setMetadata(store);
}

/** RFC 7396: a member that is null goes, objects are merged. */
export function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, merged(result.get(key), value));
  }
  return Object.fromEntries([...result].sort(([a], [b]) => a < b ? -1 : 1));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws {Fault} it can't be there */
function checkConfig({ draft }: MicroVm, body: MmdsConfigBody): void {
  const { network_interfaces: names, ipv4_address } = body;
  if (names.length === 0) {
    throw new Fault(
      `${CONFIG}: The list of network interface IDs that allow forwarding ` +
        "MMDS requests is empty.",
    );
  }
  const known = draft.networks.map(({ iface_id }) => iface_id);
  if (names.some((name) => !known.includes(name))) {
    throw new Fault(
      `${CONFIG}: The list of network interface IDs provided contains at ` +
        "least one ID that does not correspond to any existing network " +
        "interface.",
    );
  }
  const findings: Finding[] = [];
  metadataService.read({ ipv4_address }, "", findings);
  if (findings.length === 0) return;
  throw new Fault(`${CONFIG}: The MMDS IPv4 address is not link local.`);
}
