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
 * @param undo closes them when the device can't be made
 * @throws {VireoError} a module without a function
 */
export async function netBackends(
  spec: NetSpec,
  memory: GuestMemory,
  log: (message: string) => void,
  undo: DisposableStack,
): Promise<NetBackend[]> {
  const backends = await ends(spec.end, memory, log, undo);
  const { pcap } = spec;
  if (pcap === undefined) return backends;
  const { PcapBackend } = await import("../../devices/backends/net/pcap.ts");
  return backends.map((inner) =>
    new PcapBackend(inner, pcap, memory, NET_HEADER_SIZE)
  );
}

/** The limiters of an interface: one for each direction that has limits. */
export async function netLimiters(
  { limits }: NetSpec,
  undo: DisposableStack,
): Promise<NetLimiters> {
  if (!limits.rx && !limits.tx) return {};
  const { RateLimiter } = await import("../../devices/runtime/rate_limiter.ts");
  const rx = RateLimiter.from(limits.rx);
  undo.defer(() => rx?.close());
  const tx = RateLimiter.from(limits.tx);
  undo.defer(() => tx?.close());
  return { rx, tx };
}

async function ends(
  end: NetEnd,
  memory: GuestMemory,
  log: (message: string) => void,
  undo: DisposableStack,
): Promise<NetBackend[]> {
  if ("taps" in end) {
    return end.taps.map((tap) => {
      const backend = new TapBackend(tap);
      undo.defer(() => backend.close());
      return backend;
    });
  }
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
  const backend = new HandlerBackend(handler, memory, NET_HEADER_SIZE, log);
  undo.defer(() => backend.close());
  return [backend];
}

async function loadHandler(url: string): Promise<FrameHandler> {
  const { default: handler } = await import(url);
  if (typeof handler === "function") return handler;
  throw new VireoError(`network: ${url} has no function as its default export`);
}
