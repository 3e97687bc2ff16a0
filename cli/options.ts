/**
 * The words of the command line, as parts of a {@linkcode VmConfig}.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { VireoError } from "../ffi/error.ts";
import type {
  ConsoleSocket,
  CustomDevice,
  Drive,
  MemoryBalloon,
  NetworkInterface,
  VirtioConsole,
  Vsock,
} from "../vmm/config/types.ts";
import { networkConflict } from "../vmm/config/types.ts";

/** `--root`: the prepared image. */
export const BUSYBOX = "busybox";
/** `--root`: no root disk. */
export const NO_ROOT = "none";

const UNITS: Record<string, number> = {
  "": 1,
  K: 1 / 1024,
  M: 1,
  G: 1024,
  T: 1024 * 1024,
};

/**
 * MiB from `128M`, `2G` or `128`.
 *
 * @throws {VireoError} when it is no size, or not a whole number of MiB
 */
export function parseMemory(text: string): number {
  const match = /^(\d+)([KMGT]?)(i?B)?$/i.exec(text);
  const mebibytes = match
    ? Number(match[1]) * UNITS[match[2]!.toUpperCase()]!
    : NaN;
  if (!Number.isInteger(mebibytes)) {
    throw new VireoError(
      `--memory ${text}: not a size in whole MiB like 128M or 2G`,
    );
  }
  return mebibytes;
}

/**
 * A whole number.
 *
 * @throws {VireoError} when it is none
 */
export function parseCount(option: string, text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new VireoError(`${option} ${text}: not a whole number`);
  }
  return Number(text);
}

/**
 * How virtio devices are attached: {@linkcode MachineConfig.transport}.
 *
 * @throws {VireoError} when it is no transport
 */
export function parseTransport(text: string): "mmio" | "pci" {
  if (text === "mmio" || text === "pci") return text;
  throw new VireoError(`--transport ${text}: not one of mmio, pci`);
}

/**
 * How the guest finds its devices: {@linkcode MachineConfig.acpi}.
 *
 * @throws {VireoError} when it is none of its values
 */
export function parseAcpi(text: string): "auto" | "on" | "off" {
  if (text === "auto" || text === "on" || text === "off") return text;
  throw new VireoError(`--acpi ${text}: not one of auto, on, off`);
}

/**
 * A disk from `FILE[,ro][,direct][,queues=N]`.
 *
 * @throws {VireoError} when a word after the file is unknown
 */
export function parseDisk(text: string, index: number): Drive {
  const [path = "", ...words] = text.split(",");
  if (path === "") throw new VireoError(`--disk ${text}: no file is named`);
  const drive: Drive = {
    drive_id: `vireo-${index}`,
    path_on_host: path,
    is_root_device: false,
    is_read_only: words.includes("ro"),
    direct: words.includes("direct"),
  };
  for (const word of words) {
    const queues = /^queues=(\d+)$/.exec(word)?.[1];
    if (queues) drive.queues = Number(queues);
    else if (word !== "ro" && word !== "direct") {
      throw new VireoError(
        `--disk ${text}: unknown word "${word}"; ` +
          "FILE[,ro][,direct][,queues=N]",
      );
    }
  }
  return drive;
}

/** Keys of `--net`, and the configuration's for those that are texts. */
const NET_KEYS: Record<string, keyof NetworkInterface | undefined> = {
  tap: "host_dev_name",
  passt: "socket",
  handler: "handler",
  netns: "netns",
  mac: "guest_mac",
  pcap: "pcap",
  queues: undefined,
};

/**
 * A network from `tap=NAME`, `passt`, `passt=SOCKET` or `handler=MODULE`, and
 * `[,netns=NS][,queues=N][,mac=M][,pcap=FILE]`.
 *
 * @throws {VireoError} when a value is missing, or a key unknown
 */
export function parseNet(text: string, index: number): NetworkInterface {
  const network: NetworkInterface = { iface_id: `eth${index}` };
  for (const word of text.split(",")) {
    const [key = "", value] = word.split(/=(.*)/s);
    if (word === "passt") network.passt = true;
    else if (!Object.hasOwn(NET_KEYS, key) || !value) {
      throw new VireoError(
        `--net ${text}: "${word}" is not one of tap=NAME, passt, ` +
          "passt=SOCKET, handler=MODULE, netns=NS, queues=N, mac=M, pcap=FILE",
      );
    } else if (key === "queues") {
      network.queues = parseCount(`--net ${text}: queues`, value);
    } else if (key === "handler") {
      network.handler = moduleUrl("--net handler", value);
    } else Object.assign(network, { [NET_KEYS[key]!]: value });
  }
  const conflict = networkConflict(network);
  if (conflict === undefined) return network;
  throw new VireoError(
    `--net ${text}: one of tap=NAME, passt, passt=SOCKET and handler=MODULE; ` +
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

/**
 * A balloon from `MIB[,oom][,stats=SECONDS][,reporting][,hinting]`.
 *
 * @throws {VireoError} when the size is missing, or a word unknown
 */
export function parseBalloon(text: string): MemoryBalloon {
  const [size = "", ...words] = text.split(",");
  const balloon: MemoryBalloon = {
    amount_mib: parseCount("--balloon", size),
    deflate_on_oom: false,
  };
  for (const word of words) {
    const seconds = /^stats=(\d+)$/.exec(word)?.[1];
    if (word === "oom") balloon.deflate_on_oom = true;
    else if (word === "reporting") balloon.free_page_reporting = true;
    else if (word === "hinting") balloon.free_page_hinting = true;
    else if (seconds) balloon.stats_polling_interval_s = Number(seconds);
    else {
      throw new VireoError(
        `--balloon ${text}: unknown word "${word}"; ` +
          "MIB[,oom][,stats=SECONDS][,reporting][,hinting]",
      );
    }
  }
  return balloon;
}

/**
 * Sockets from `cid=N,uds=PATH`.
 *
 * @throws {VireoError} when one of them is missing, or a key unknown
 */
export function parseVsock(text: string): Vsock {
  const match = /^(?:cid=(\d+),)?uds=(.+)$/s.exec(text);
  if (!match) {
    throw new VireoError(`--vsock ${text}: not of the form cid=3,uds=PATH`);
  }
  return { guest_cid: Number(match[1] ?? 3), uds_path: match[2]! };
}

/**
 * A virtio console from `--console serial|virtio` and each `--port NAME=PATH`;
 * none when there is nothing for it to do.
 *
 * @throws {VireoError} when a word is unknown, or a name or a path missing
 */
export function parseConsole(
  console = "serial",
  ports: readonly string[] = [],
): { console?: VirtioConsole } {
  if (console !== "serial" && console !== "virtio") {
    throw new VireoError(`--console ${console}: not one of serial, virtio`);
  }
  const main = console === "virtio";
  if (!main && ports.length === 0) return {};
  return { console: { main, ports: ports.map(parsePort) } };
}

function parsePort(text: string): ConsoleSocket {
  const [name, path] = text.split(/=(.*)/s);
  if (!name || !path) {
    throw new VireoError(`--port ${text}: not of the form NAME=PATH`);
  }
  return { name, path };
}

/**
 * A device from the path or URL of its module.
 *
 * @throws {VireoError} when there is no such file
 */
export function parseDevice(text: string): CustomDevice {
  return { module: moduleUrl("--device", text) };
}

function moduleUrl(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : pathToFileURL(text);
  if (url.protocol === "file:" && !isFile(url)) {
    throw new VireoError(`${option} ${text}: no such file`);
  }
  return url.href;
}

function isFile(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch {
    return false;
  }
}
