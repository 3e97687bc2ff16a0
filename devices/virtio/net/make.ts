/**
 * Makes a network device on the device worker. All backends but the TAP's, and
 * the limiters, are loaded when they are asked for.
 *
 * @module
 */
import type { NetBackend } from "../../backends/net/backend.ts";
import type { FrameChannel } from "../../backends/net/frame_channel.ts";
import type { FrameHandler } from "../../backends/net/handler.ts";
import type { Capture } from "../../backends/net/pcap_file.ts";
import type { MmdsSettings } from "../../backends/net/mmds/http.ts";
import type { Mmds } from "../../backends/net/mmds/mmds.ts";
import { TapBackend } from "../../backends/net/tap.ts";
import { loadModule } from "../../runtime/load_module.ts";
import type { FaultPlan } from "../../faults/rules.ts";
import type { RateLimits } from "../../runtime/rate_limiter.ts";
import { VireoError } from "../../../ffi/error.ts";
import type { Tap } from "../../../ffi/tap.ts";
import type { Maker, MakerContext } from "../maker.ts";
import { Net } from "./net.ts";
import type { NetLimiters } from "./pair.ts";
import { NET_HEADER_SIZE, NetConfig } from "./spec.ts";

/** Where an interface's frames go. */
export type NetTarget =
  /** The TAP's queues, one per pair of the device's. */
  | { taps: Tap[] }
  /** A connected stream socket. */
  | { socket: number }
  /** Rings to the main isolate. */
  | { channel: FrameChannel }
  /** URL of a module with a function. */
  | { handler: string };

/** An interface whose other end is open. */
export interface NetData {
  /** Where its frames go. */
  target: NetTarget;
  /** The guest's MAC address. */
  mac: Uint8Array;
  /** Limits of what the guest receives, and of what it sends. */
  limits: { rx: RateLimits | undefined; tx: RateLimits | undefined };
  /** What gets all frames. */
  pcap: Capture | undefined;
  /** There is a metadata service on the link. */
  mmds?: MmdsSettings;
  /** What the guest is told; undefined: what the backend says. */
  mtu?: number;
  /** What events call it. */
  name?: string;
  /** What happens to its frames; undefined: nothing ever does. */
  faults?: FaultPlan;
}

/** A command to the device: what its metadata service tells from now on. */
export interface MmdsCommand {
  type: "mmds";
  /** Any JSON. */
  store: unknown;
}

/** The device; a handler's module without a function is a VireoError. */
export const make: Maker<NetData> = async (data, context) => {
  using undo = new DisposableStack(); // unless the device is there
  const backends = await backendsOf(data.target, context, undo);
  const linked = await withMmds(backends, data.mmds, context);
  const captured = await capture(linked.backends, data.pcap, context);
  const limiters = await limitersOf(data, undo);
  const device = data.faults === undefined
    ? new Net(captured, data.mac, limiters)
    : await faultyNet(captured, data, data.faults, limiters, context);
  undo.move();
  if (data.mtu !== undefined) tellMtu(device, data.mtu);
  if (linked.mmds === undefined) return device;
  const { mmds } = linked;
  const command = device.command.bind(device);
  device.command = (given) => {
    if ((given as MmdsCommand | null)?.type !== "mmds") return command(given);
    mmds.store = (given as MmdsCommand).store;
  };
  return device;
};

/** Frames of the backend's size come in all the same. */
function tellMtu({ config }: Net, mtu: number): void {
  new DataView(config.buffer).setUint16(NetConfig.mtu, mtu, true);
}

/** Not literals in `import()`: those are read at the start, needed or not. */
const FRAME_CHANNEL =
  new URL("../../backends/net/frame_channel.ts", import.meta.url).href;
const HANDLER = new URL("../../backends/net/handler.ts", import.meta.url).href;
const MMDS = new URL("../../backends/net/mmds/mmds.ts", import.meta.url).href;
const MMDS_BACKEND =
  new URL("../../backends/net/mmds/backend.ts", import.meta.url).href;
const NET = new URL("../../faults/net.ts", import.meta.url).href;
const PCAP = new URL("../../backends/net/pcap.ts", import.meta.url).href;
const PCAP_FILE =
  new URL("../../backends/net/pcap_file.ts", import.meta.url).href;
const RATE_LIMITER =
  new URL("../../runtime/rate_limiter.ts", import.meta.url).href;
const RULES = new URL("../../faults/rules.ts", import.meta.url).href;
const STREAM = new URL("../../backends/net/stream.ts", import.meta.url).href;
const WITH_FAULTS =
  new URL("../../faults/with_faults.ts", import.meta.url).href;

/** One backend per pair of queues; `undo` closes them. */
async function backendsOf(
  target: NetTarget,
  { memory, log }: MakerContext,
  undo: DisposableStack,
): Promise<NetBackend[]> {
  if ("taps" in target) {
    return target.taps.map((tap) => {
      const backend = new TapBackend(tap);
      undo.defer(() => backend.close());
      return backend;
    });
  }
  if ("socket" in target) {
    const { StreamBackend }: typeof import("../../backends/net/stream.ts") =
      await import(STREAM);
    return [new StreamBackend(target.socket, memory, NET_HEADER_SIZE)];
  }
  if ("channel" in target) {
    const { ChannelBackend }:
      typeof import("../../backends/net/frame_channel.ts") = await import(
        FRAME_CHANNEL
      );
    return [new ChannelBackend(target.channel, memory, NET_HEADER_SIZE)];
  }
  const { HandlerBackend }: typeof import("../../backends/net/handler.ts") =
    await import(HANDLER);
  const handler = await loadHandler(target.handler);
  const backend = new HandlerBackend(handler, memory, NET_HEADER_SIZE, log);
  undo.defer(() => backend.close());
  return [backend];
}

async function loadHandler(url: string): Promise<FrameHandler> {
  const handler = await loadModule("network handler", url);
  if (typeof handler === "function") return handler as FrameHandler;
  throw new VireoError(
    `network handler ${url}: its default export is no function`,
  );
}

/** Backends with the metadata service on their link, if there is to be one. */
async function withMmds(
  backends: NetBackend[],
  settings: MmdsSettings | undefined,
  { memory }: MakerContext,
): Promise<{ backends: NetBackend[]; mmds?: Mmds }> {
  if (settings === undefined) return { backends };
  const { Mmds }: typeof import("../../backends/net/mmds/mmds.ts") =
    await import(MMDS);
  const { MmdsBackend }: typeof import("../../backends/net/mmds/backend.ts") =
    await import(MMDS_BACKEND);
  const mmds = new Mmds(settings, backends[0]!.mtu);
  const linked = backends.map((inner) =>
    new MmdsBackend(inner, mmds, memory, NET_HEADER_SIZE)
  );
  return { backends: linked, mmds };
}

async function capture(
  backends: NetBackend[],
  pcap: Capture | undefined,
  { memory, log }: MakerContext,
): Promise<NetBackend[]> {
  if (pcap === undefined) return backends;
  const { PcapBackend }: typeof import("../../backends/net/pcap.ts") =
    await import(PCAP);
  const { PcapFile }: typeof import("../../backends/net/pcap_file.ts") =
    await import(PCAP_FILE);
  const file = new PcapFile(pcap, log);
  return backends.map((inner) =>
    new PcapBackend(inner, file, memory, NET_HEADER_SIZE)
  );
}

/** An interface with faults; those of its queues are counted together. */
async function faultyNet(
  inner: NetBackend[],
  { mac, name = "" }: NetData,
  plan: FaultPlan,
  limiters: NetLimiters,
  { memory, emit }: MakerContext,
): Promise<Net> {
  const { Faults }: typeof import("../../faults/rules.ts") = await import(
    RULES
  );
  const { FaultyNet }: typeof import("../../faults/net.ts") = await import(NET);
  const { withFaults }: typeof import("../../faults/with_faults.ts") =
    await import(WITH_FAULTS);
  const faults = new Faults(name, "net", plan, emit);
  const backends = inner.map((backend) =>
    new FaultyNet(backend, faults, memory, NET_HEADER_SIZE)
  );
  return withFaults(new Net(backends, mac, limiters), faults, backends);
}

/** One for each direction that has limits; `undo` closes them. */
async function limitersOf(
  { limits }: NetData,
  undo: DisposableStack,
): Promise<NetLimiters> {
  if (!limits.rx && !limits.tx) return {};
  const { RateLimiter }: typeof import("../../runtime/rate_limiter.ts") =
    await import(RATE_LIMITER);
  const rx = RateLimiter.from(limits.rx);
  undo.defer(() => rx?.close());
  const tx = RateLimiter.from(limits.tx);
  undo.defer(() => tx?.close());
  return { rx, tx };
}
