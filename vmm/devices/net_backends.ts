/**
 * Makes the backends of a network device, and its limiters, on the device
 * worker. All but the TAP's backend is loaded when it is asked for.
 *
 * @module
 */
import type { NetBackend } from "../../devices/backends/net/backend.ts";
import type { FrameHandler } from "../../devices/backends/net/handler.ts";
import { TapBackend } from "../../devices/backends/net/tap.ts";
import type { NetLimiters } from "../../devices/virtio/net/pair.ts";
import { NET_HEADER_SIZE } from "../../devices/virtio/net/spec.ts";
import { VireoError } from "../../ffi/error.ts";
import type { GuestMemory } from "../../guest/memory.ts";
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
  const { PcapBackend } = await import("../../devices/backends/net/pcap.ts");
  return backends.map((inner) =>
    new PcapBackend(inner, pcap, memory, NET_HEADER_SIZE)
  );
}

/** The limiters of an interface: one for each direction that has limits. */
export async function netLimiters({ limits }: NetSpec): Promise<NetLimiters> {
  if (!limits.rx && !limits.tx) return {};
  const { RateLimiter } = await import("../../devices/runtime/rate_limiter.ts");
  return { rx: RateLimiter.from(limits.rx), tx: RateLimiter.from(limits.tx) };
}

async function ends(
  end: NetEnd,
  memory: GuestMemory,
  log: (message: string) => void,
): Promise<NetBackend[]> {
  if ("taps" in end) return end.taps.map((tap) => new TapBackend(tap));
  if ("socket" in end) {
    const { StreamBackend } = await import(
      "../../devices/backends/net/stream.ts"
    );
    return [new StreamBackend(end.socket, memory, NET_HEADER_SIZE)];
  }
  const { HandlerBackend } = await import(
    "../../devices/backends/net/handler.ts"
  );
  const handler = await loadHandler(end.handler);
  return [new HandlerBackend(handler, memory, NET_HEADER_SIZE, log)];
}

async function loadHandler(url: string): Promise<FrameHandler> {
  const { default: handler } = await import(url);
  if (typeof handler === "function") return handler;
  throw new VireoError(`network: ${url} has no function as its default export`);
}
