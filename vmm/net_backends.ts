/**
 * Makes the backends of a network device, on the device worker. All but the
 * TAP's are loaded when they are asked for.
 *
 * @module
 */
import type { NetBackend } from "../devices/net/backend.ts";
import type { FrameHandler } from "../devices/net/handler.ts";
import { TapBackend } from "../devices/net/tap.ts";
import { NET_HEADER_SIZE } from "../devices/virtio/net_spec.ts";
import { VireoError } from "../ffi/vireo_error.ts";
import type { GuestMemory } from "../guest/memory.ts";
import type { NetEnd, NetSpec } from "./network.ts";

/**
 * One backend per pair of queues.
 *
 * @throws {VireoError} a module without a function
 */
export async function netBackends(
  spec: NetSpec,
  memory: GuestMemory,
  log: (message: string) => void,
): Promise<NetBackend[]> {
  const backends = await ends(spec.end, memory, log);
  const { pcap } = spec;
  if (pcap === undefined) return backends;
  const { PcapBackend } = await import("../devices/net/pcap.ts");
  return backends.map((inner) =>
    new PcapBackend(inner, pcap, memory, NET_HEADER_SIZE)
  );
}

async function ends(
  end: NetEnd,
  memory: GuestMemory,
  log: (message: string) => void,
): Promise<NetBackend[]> {
  if ("taps" in end) return end.taps.map((tap) => new TapBackend(tap));
  if ("socket" in end) {
    const { StreamBackend } = await import("../devices/net/stream.ts");
    return [new StreamBackend(end.socket, memory, NET_HEADER_SIZE)];
  }
  const { HandlerBackend } = await import("../devices/net/handler.ts");
  const handler = await loadHandler(end.handler);
  return [new HandlerBackend(handler, memory, NET_HEADER_SIZE, log)];
}

async function loadHandler(url: string): Promise<FrameHandler> {
  const { default: handler } = await import(url);
  if (typeof handler === "function") return handler;
  throw new VireoError(`network: ${url} has no function as its default export`);
}
