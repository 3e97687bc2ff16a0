/**
 * Devices without virtio of the user's own: `bus-devices` in the configuration,
 * `--bus-device` on the command line.
 *
 * @module
 */
import { type PlainPlace, PlainWord } from "../../devices/own/plain.ts";
import { VireoError } from "../../ffi/error.ts";
import { conflict, twice } from "../config/schema/conflict.ts";
import {
  anything,
  type Filled,
  formatted,
  integer,
  type Keys,
  module,
  object,
  oneOf,
  onHost,
  own,
  ownRequired,
  type Rule,
  text,
} from "../config/schema/rule.ts";
import type { Finding } from "../config/schema/rule.ts";
import type { Kind } from "./kind.ts";
import { freeRange, type Range, takenAt } from "./plain_ranges.ts";
import { moduleWords, named } from "./words.ts";

/** A device without virtio of the user's own. */
export interface BusDeviceConfig {
  /**
   * URL of a module whose default export is a class that implements
   * {@linkcode PlainDevice}.
   */
  module: string;
  /** What {@linkcode Machine.command} calls it: as for {@linkcode CustomDevice}. */
  name?: string;
  /** Passed to the constructor: plain data. */
  options?: unknown;
  /** Bytes of registers in memory; or `port`. */
  mmio?: number;
  /** I/O ports that it has; or `mmio`. */
  port?: number;
  /** The first address or port; default: where there is room. */
  address?: number;
  /** How its interrupt is raised; default: it has none. */
  interrupt?: "edge" | "level";
  /** Its ACPI id, such as `PNP0501`, by which a driver finds it. */
  hid?: string;
  /** What it is compatible with, for `hid` `PRP0001`, which is the default then. */
  compatible?: string;
  /**
   * Who answers: the device worker, the default, for which the vCPU waits; or
   * each vCPU's thread, by an instance of its own over `shared`.
   */
  thread?: "device" | "vcpu";
  /** Bytes of memory that the vCPUs' instances share; default 0. */
  shared?: number;
  /**
   * Milliseconds that a vCPU waits for the device worker's answer before it
   * reads all ones and goes on; default 5000.
   */
  timeout_ms?: number;
}

type Defaults = "thread" | "shared" | "timeout_ms";
type FilledPlain = Filled<BusDeviceConfig, Defaults> & {
  name: string;
  address: number;
};

const MMIO_MAX = 16 * 1024 * 1024, PORTS_MAX = 256, SHARED_MAX = 1024 * 1024;

const KEYS: Keys<BusDeviceConfig, Defaults> = {
  module: ownRequired(module, "Its default export is the device's class."),
  name: own(text, "As that of `devices`."),
  options: own(onHost(anything), "Passed to the constructor."),
  mmio: own(integer(1, MMIO_MAX), "Bytes of registers in memory; or `port`."),
  port: own(integer(1, PORTS_MAX), "I/O ports that it has; or `mmio`."),
  address: own(
    integer(0, 0xffff_ffff),
    "The first address or port. Default: where there is room.",
  ),
  interrupt: own(
    oneOf(["edge", "level"]),
    "How its interrupt is raised. Default: it has none.",
  ),
  hid: own(
    formatted(
      "text",
      "an ACPI id such as PNP0501 or PRP0001",
      (id) => /^([A-Z]{3}[0-9A-F]{4}|[A-Z0-9]{4}[0-9A-F]{4})$/.test(id),
    ),
    "Its ACPI id, by which a driver finds it.",
  ),
  compatible: own(
    formatted(
      "text",
      "a word such as ns16550a",
      (word) => /^[!-~]{1,64}$/.test(word),
    ),
    "What a `PRP0001`, which `hid` is then, is compatible with.",
  ),
  thread: own(
    oneOf(["device", "vcpu"]),
    "Who answers: the device worker, or each vCPU's thread by an instance of " +
      "its own.",
    "device",
  ),
  shared: own(
    integer(0, SHARED_MAX),
    "Bytes of memory that the vCPUs' instances share.",
    0,
  ),
  timeout_ms: own(
    integer(1, 3_600_000),
    "Milliseconds that a vCPU waits for the device worker's answer.",
    5000,
  ),
};

const WORDS = [
  "mmio=BYTES",
  "port=COUNT",
  "address=N",
  "interrupt=edge",
  "interrupt=level",
  "hid=ID",
  "compatible=WORD",
  "thread=vcpu",
  "shared=BYTES",
  "timeout_ms=N",
  "name=NAME",
];

/** After all others. */
export const PLAIN: Kind<BusDeviceConfig, FilledPlain, PlainPlace> & {
  list: true;
} = {
  list: true,
  order: Infinity,
  about: "Devices without virtio of your own.",
  status: "Vireo's own",
  rule: object<BusDeviceConfig, Defaults>(KEYS) as Rule<
    BusDeviceConfig,
    FilledPlain
  >,
  make: new URL("../../devices/own/make_plain.ts", import.meta.url),
  early: () => true,

  conflicts(devices) {
    const names = devices.map(({ name }, index) => name ?? `\0${index}`);
    return [
      ...twice("bus-devices", "name", names),
      ...devices.flatMap(shape),
      ...overlaps(devices),
    ];
  },

  /** Fills in names and addresses, which depend on each other. */
  inOrder(devices) {
    const ranges = devices.flatMap((device) => rangeOf(device) ?? []);
    return named(devices).map((device) => {
      const { space, size } = sizeOf(device);
      const address = device.address ?? freeRange(space, size, ranges);
      if (device.address === undefined) ranges.push({ space, address, size });
      const prp = device.compatible !== undefined && { hid: "PRP0001" };
      return { ...prp, ...device, address };
    });
  },

  async open(device, stack) {
    const { EventFd }: typeof import("../../ffi/eventfd.ts") = await import(
      EVENTFD
    );
    const { name, module, options, address, interrupt, thread } = device;
    const { hid, compatible } = device;
    const data: PlainPlace = {
      ...{ name, module, options, address, interrupt, thread },
      ...{ hid, compatible },
      ...sizeOf(device),
      gsi: -1, // the machine's to say
      page: new SharedArrayBuffer(4 * PlainWord.COUNT),
      shared: new SharedArrayBuffer(device.shared),
      timeout: device.timeout_ms,
      requestFd: stack.use(new EventFd()).fd,
    };
    return { name, data, plain: data, own: true };
  },

  options: {
    rows: [{
      flags: "--bus-device <module>",
      about: "a device without virtio of your own: FILE,mmio=BYTES or " +
        "FILE,port=COUNT, and more, see docs/lab.md; repeatable",
      repeatable: true,
      words: WORDS,
    }],
    read: ({ busDevice = [] }: { busDevice?: string[] }) =>
      busDevice.length === 0 ? undefined : busDevice.map(parsePlain),
  },
};

/** Not a literal in `import()`: that is read at the start, needed or not. */
const EVENTFD = new URL("../../ffi/eventfd.ts", import.meta.url).href;

function sizeOf({ mmio, port }: BusDeviceConfig): Omit<Range, "address"> {
  return mmio === undefined
    ? { space: "port", size: port! }
    : { space: "mmio", size: mmio };
}

/** Where the configuration has it; undefined: anywhere. */
function rangeOf(device: BusDeviceConfig): Range | undefined {
  const { address } = device;
  return address === undefined ? undefined : { ...sizeOf(device), address };
}

function shape(
  { mmio, port, hid, compatible }: BusDeviceConfig,
  index: number,
): Finding[] {
  const at = `bus-devices[${index}]`;
  if ((mmio === undefined) === (port === undefined)) {
    return [conflict(at, "mmio or port is needed, one of them")];
  }
  if (hid === "PRP0001" && compatible === undefined) {
    return [conflict(`${at}.hid`, "PRP0001 needs compatible")];
  }
  if (compatible !== undefined && hid !== undefined && hid !== "PRP0001") {
    return [conflict(`${at}.compatible`, "is for hid PRP0001")];
  }
  return [];
}

/** Those that are where something else is. */
function overlaps(devices: readonly BusDeviceConfig[]): Finding[] {
  const before: Range[] = [];
  return devices.flatMap((device, index): Finding[] => {
    const range = rangeOf(device);
    if (range === undefined || range.size === undefined) return [];
    const taken = takenAt(range, before);
    before.push(range);
    if (taken === undefined) return [];
    return [conflict(`bus-devices[${index}].address`, taken)];
  });
}

const NUMBERS = ["mmio", "port", "address", "shared", "timeout_ms"];
const TEXTS = ["interrupt", "hid", "compatible", "thread", "name"];

/**
 * A device from `FILE[,KEY=VALUE]`: what isn't its own key is an option.
 *
 * @throws {VireoError} there is no such file, or a value is of another type
 */
function parsePlain(text: string): BusDeviceConfig {
  const { module, options } = moduleWords("--bus-device", text);
  const device: Record<string, unknown> = { module };
  for (const [key, value] of Object.entries(options)) {
    const isNumber = NUMBERS.includes(key);
    if (!isNumber && !TEXTS.includes(key)) continue;
    if ((typeof value === "number") !== isNumber) {
      const wanted = isNumber ? "a number" : "a word";
      throw new VireoError(`--bus-device ${text}: ${key} is not ${wanted}`);
    }
    device[key] = value;
    delete options[key];
  }
  if (Object.keys(options).length > 0) device["options"] = options;
  return device as unknown as BusDeviceConfig;
}
