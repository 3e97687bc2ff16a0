/**
 * Networks: `network-interfaces` in the configuration, `--net` on the command
 * line.
 *
 * @module
 */
import { Plug } from "../../devices/backends/net/plug.ts";
import type { FaultPlan } from "../../devices/faults/rules.ts";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import type { NetData } from "../../devices/virtio/net/make.ts";
import { VireoError } from "../../ffi/error.ts";
import { conflict, twice } from "../config/schema/conflict.ts";
import { findingText } from "../config/schema/report.ts";
import {
  boolean,
  type Filled,
  formatted,
  integer,
  type Keys,
  module,
  object,
  onHost,
  optional,
  own,
  required,
  type Rule,
  text,
} from "../config/schema/rule.ts";
import { netFaults } from "./faults.ts";
import type { Kind } from "./kind.ts";
import { rateLimits } from "./limits.ts";
import { isUnicast, macAddress, UNICAST } from "./mac.ts";
import { type MetadataService, metadataService, mmdsSettings } from "./mmds.ts";
import { didYouMean, moduleUrl, parseCount, splitWords } from "./words.ts";

/**
 * A virtio network device. Exactly one of `host_dev_name`, `passt`, `socket`,
 * `plug` and `handler` says where its frames go.
 */
export interface NetworkInterface {
  /** A name for messages. */
  iface_id: string;
  /** A TAP's name. */
  host_dev_name?: string;
  /** `02:..`; default: made from the TAP's name, by chance on a switch. */
  guest_mac?: string;
  /** The network namespace that the TAP is in (`ip netns`). */
  netns?: string;
  /**
   * Pairs of queues, 1 to 8; default 1. For more, the TAP must have been made
   * with `multi_queue`.
   */
  queues?: number;
  /**
   * The largest packet that the guest is told to send, 68 to 65535 bytes;
   * default: what the other end says.
   */
  mtu?: number;
  /**
   * Limits of what the guest receives; default none. A frame is an operation,
   * of its bytes and the 12 of its virtio header.
   */
  rx_rate_limiter?: RateLimits;
  /** The same of what it sends. */
  tx_rate_limiter?: RateLimits;
  /** Starts passt(1): the host's network without a TAP and without root. */
  passt?: boolean;
  /** Path of a Unix socket that a {@linkcode Switch} or a passt listens on. */
  socket?: string;
  /** Where a {@linkcode Switch} of this process takes it: `network.plug()`. */
  plug?: Plug;
  /**
   * URL of a module whose default export is a {@linkcode FrameHandler}; it
   * runs on the device worker.
   */
  handler?: string;
  /** Path of a file that gets all frames, for tcpdump; replaced if there. */
  pcap?: string;
  /** A metadata service on the link; default: none. */
  mmds?: MetadataService;
  /** What happens to some of its frames; `{ "rules": [] }` for later. */
  faults?: FaultPlan;
}

/** The most pairs of queues; a device page has room for them. */
const MAX_QUEUE_PAIRS = 8;

type Defaults = "queues" | "passt";
/** One with its defaults. */
export type FilledInterface = Filled<NetworkInterface, Defaults>;

/** An object of the program's: no text can name one. */
const plug: Rule<Plug> = {
  names: "host",
  takes: "`plug()` of a `Switch`, in a program",
  read(value, path, findings) {
    if (value instanceof Plug) return value;
    findings.push({ path, code: "type", expected: "a Switch's plug", value });
  },
  fill: (value) => value,
};

const NETWORK_INTERFACE: Keys<NetworkInterface, Defaults> = {
  iface_id: required(text, "A name for messages."),
  host_dev_name: optional(
    onHost(text),
    "The TAP; or one of `passt`, `socket`, `plug` and `handler`.",
  ),
  guest_mac: optional(
    formatted("a MAC address", UNICAST, isUnicast),
    "Default: made from the TAP's name, by chance on a switch.",
  ),
  mtu: optional(
    integer(68, 65535),
    "The MTU that the guest is told. Default: the other end's.",
  ),
  rx_rate_limiter: optional(
    rateLimits,
    "Limits of what the guest receives. Default none.",
  ),
  tx_rate_limiter: optional(
    rateLimits,
    "Limits of what the guest sends. Default none.",
  ),
  netns: own(
    onHost(text),
    "The network namespace that the TAP is in (`ip netns`).",
  ),
  queues: own(
    integer(1, MAX_QUEUE_PAIRS),
    "Pairs of queues; for more than one, the TAP was made with " +
      "`multi_queue`.",
    1,
  ),
  passt: own(onHost(boolean), "Starts passt: no TAP, no root.", false),
  socket: own(
    onHost(text),
    "A Unix socket that a switch or a passt listens on.",
  ),
  plug: own(plug, "A switch of the same process."),
  handler: own(
    module,
    "Its default export is a function that gets each frame and may answer.",
  ),
  pcap: own(onHost(text), "A file that gets all frames, for tcpdump."),
  faults: own(netFaults, "What happens to some of its frames."),
  mmds: own(
    metadataService,
    "A metadata service on the link.",
  ),
};

/** Where frames go. */
const NET_TARGETS = [
  ...["tap=NAME", "passt", "passt=SOCKET", "switch=SOCKET"],
  "handler=MODULE",
];
/** What may follow. */
const NET_WORDS = ["netns=NS", "queues=N", "mac=M", "pcap=FILE"];

/** Not a literal in `import()`: that is read at the start, needed or not. */
const OPEN = new URL("./open_network.ts", import.meta.url).href;

/** The first network is `eth0`, and so on. */
export const NET: Kind<NetworkInterface, FilledInterface, NetData> & {
  list: true;
} = {
  list: true,
  order: 20,
  about: "Networks, `eth0` and so on.",
  status: "honoured",
  rule: object<NetworkInterface, Defaults>(NETWORK_INTERFACE),
  moved: "announce",
  make: new URL("../../devices/virtio/net/make.ts", import.meta.url),

  early: ({ handler }) => handler !== undefined,

  conflicts(networks) {
    const list = "network-interfaces";
    const ids = networks.map(({ iface_id }) => iface_id);
    const wrong = networks.flatMap((network, index) => {
      const text = targetConflict(network);
      return text ? [conflict(`${list}[${index}]`, text)] : [];
    });
    return [...twice(list, "iface_id", ids), ...wrong];
  },

  async open(network, stack, undo) {
    const { openPcap, openTarget }: typeof import("./open_network.ts") =
      await import(OPEN);
    const { iface_id: name, host_dev_name, guest_mac, pcap } = network;
    // On a switch, other machines' interfaces are called eth0, too.
    const onSwitch = network.socket ?? network.plug;
    const own = onSwitch === undefined ? name : crypto.randomUUID();
    const mac = macAddress(guest_mac, host_dev_name ?? own);
    const target = openTarget(network, stack);
    const limits = { rx: network.rx_rate_limiter, tx: network.tx_rate_limiter };
    const capture = pcap === undefined
      ? undefined
      : openPcap(pcap, stack, undo);
    const mmds = network.mmds && mmdsSettings(network.mmds);
    const { faults, mtu } = network;
    const more = {
      ...(mmds && { mmds }),
      ...(faults && { name, faults }),
      ...(mtu !== undefined && { mtu }),
    };
    const data = { target, mac, limits, pcap: capture, ...more };
    return { name, data };
  },

  options: {
    rows: [
      {
        flags: "--net <where>",
        about: "network: tap=NAME[,netns=NS][,queues=N], passt[=SOCKET], " +
          "switch=SOCKET or handler=MODULE; and [,mac=M][,pcap=FILE]; repeatable",
        repeatable: true,
        values: NET_TARGETS,
        words: NET_WORDS,
      },
      {
        flags: "--pcap <file>",
        about: "capture the network's frames, for tcpdump -r",
      },
    ],
    read: ({ net, pcap }: { net: string[]; pcap?: string }) =>
      withPcap(net.map(parseNet), pcap),
    texts: {
      "queues": (finding, index) =>
        `network "${interfaceId(index)}": queues: ${findingText(finding)}`,
      "guest_mac": (finding) => `mac: ${findingText(finding)}`,
    },
  },
};

/** What is wrong with where an interface's frames go, or undefined. */
function targetConflict(network: NetworkInterface): string | undefined {
  const { host_dev_name, passt, socket, plug, handler } = network;
  const { netns, queues } = network;
  const targets = [host_dev_name, passt || undefined, socket, plug, handler]
    .filter((target) => target !== undefined);
  if (targets.length !== 1) {
    return "exactly one of host_dev_name, passt, socket, plug and handler " +
      "must say where its frames go";
  }
  if (host_dev_name !== undefined) return undefined;
  if (netns !== undefined) return "netns is for a TAP";
  if (queues !== undefined && queues > 1) return "several queues are for a TAP";
}

function interfaceId(index: number): string {
  return `eth${index}`;
}

/** Keys of `--net`, and the configuration's for those that are texts. */
const NET_KEYS: Record<string, keyof NetworkInterface | undefined> = {
  tap: "host_dev_name",
  passt: "socket",
  switch: "socket",
  handler: "handler",
  netns: "netns",
  mac: "guest_mac",
  pcap: "pcap",
  queues: undefined,
};

/**
 * A network from `tap=NAME`, `passt`, `passt=SOCKET`, `switch=SOCKET` or
 * `handler=MODULE`, and `[,netns=NS][,queues=N][,mac=M][,pcap=FILE]`.
 *
 * @throws {VireoError} when a value is missing, or a key unknown
 */
export function parseNet(text: string, index: number): NetworkInterface {
  const network: NetworkInterface = { iface_id: interfaceId(index) };
  for (const word of splitWords(text)) {
    const [key = "", value] = word.split(/=(.*)/s);
    if (word === "passt") network.passt = true;
    else if (!Object.hasOwn(NET_KEYS, key) || !value) {
      const words = [...NET_TARGETS, ...NET_WORDS];
      throw new VireoError(
        `--net ${text}: "${word}" is not one of ${words.join(", ")}` +
          didYouMean(word, words),
      );
    } else if (key === "queues") {
      network.queues = parseCount(`--net ${text}: queues`, value);
    } else if (key === "handler") {
      network.handler = moduleUrl("--net handler", value);
    } else Object.assign(network, { [NET_KEYS[key]!]: value });
  }
  if (targetConflict(network) === undefined) return network;
  throw new VireoError(
    `--net ${text}: one of ${NET_TARGETS.join(", ")}; ` +
      "netns and queues only with tap",
  );
}

/**
 * Lets `--pcap FILE` be that of the only network.
 *
 * @throws {VireoError} when there is none, or more than one
 */
export function withPcap(
  networks: NetworkInterface[],
  file: string | undefined,
): NetworkInterface[] {
  if (file === undefined) return networks;
  const [network] = networks;
  if (network === undefined || networks.length > 1) {
    throw new VireoError(
      `--pcap ${file}: there are ${networks.length} networks; ` +
        "add pcap=FILE to the --net that is meant",
    );
  }
  return [{ ...network, pcap: file }];
}
