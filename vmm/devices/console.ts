/**
 * The virtio console: `console` in the configuration, `--console` and `--port`
 * on the command line.
 *
 * @module
 */
import type { FaultPlan } from "../../devices/faults/rules.ts";
import type { ConsoleData } from "../../devices/virtio/console/make.ts";
import {
  AGENT_PORT,
  MAX_PORTS,
  PORT_NAME_MAX,
} from "../../devices/virtio/console/spec.ts";
import { VireoError } from "../../ffi/error.ts";
import { conflict, twice } from "../config/schema/conflict.ts";
import { findingText } from "../config/schema/report.ts";
import {
  anything,
  boolean,
  type Filled,
  formatted,
  type Keys,
  list,
  module,
  object,
  onHost,
  own,
  ownRequired,
  text,
} from "../config/schema/rule.ts";
import { consoleFaults } from "./faults.ts";
import type { Kind } from "./kind.ts";
import { moduleWords, parseChoice } from "./words.ts";

/** A virtio console: the main console, ports with names, or both. */
export interface VirtioConsole {
  /**
   * It is the main console: what the machine prints and reads, and
   * `console=hvc0` in the default command line. Default false: the serial port
   * is. Early messages are still the serial port's.
   */
  main?: boolean;
  /**
   * URL of a module that the main console ends in, in the place of the
   * machine's output and input: its default export is a class of
   * {@linkcode PortModule}s.
   */
  backend?: string;
  /** Passed to the constructor: plain data. */
  backend_options?: unknown;
  /** Ports: `/dev/virtio-ports/NAME` or `/dev/vport0p1` and so on. */
  ports?: ConsoleSocket[];
  /**
   * A port for the agent in the prepared root image's init, by which
   * {@linkcode MachineDevices.exec} runs commands. Default false.
   */
  agent?: boolean;
  /** What happens to some bytes of the others; default nothing. */
  faults?: FaultPlan;
}

/** A port of the virtio console that ends in a Unix socket. */
export interface ConsoleSocket {
  /** Its name in the guest. */
  name: string;
  /** Where the socket is made; one client at a time may connect. */
  path?: string;
  /**
   * In its place, the URL of a module: its default export is a class of
   * {@linkcode PortModule}s.
   */
  backend?: string;
  /** Passed to the constructor: plain data. */
  backend_options?: unknown;
}

const CONSOLE_SOCKET: Keys<ConsoleSocket> = {
  name: ownRequired(
    formatted(
      "text",
      `a name of 1 to ${PORT_NAME_MAX} bytes without a slash`,
      isPortName,
    ),
    "Its name in the guest.",
  ),
  path: own(onHost(text), "Where the Unix socket is made; or `backend`."),
  backend: own(module, "A module that it ends in, see docs/lab.md."),
  backend_options: own(onHost(anything), "Passed to its constructor."),
};

function isPortName(name: string): boolean {
  const bytes = new TextEncoder().encode(name).length;
  return bytes <= PORT_NAME_MAX && !/[/\0]/.test(name);
}

/** One with its defaults. */
export type FilledConsole = Filled<VirtioConsole, "main" | "ports">;

const CONSOLE_KEYS: Keys<VirtioConsole, "main" | "ports"> = {
  main: own(
    boolean,
    "It is the main console, `hvc0`.",
    false,
    ": the serial port is",
  ),
  backend: own(module, "A module that `hvc0` ends in, see docs/lab.md."),
  backend_options: own(onHost(anything), "Passed to its constructor."),
  ports: own(
    list(object<ConsoleSocket>(CONSOLE_SOCKET)),
    "Ports, which end in Unix sockets on the host.",
    [],
  ),
  agent: own(
    boolean,
    "A port for the agent in the prepared init, for `Machine.exec`.",
  ),
  faults: own(consoleFaults, "What happens to some bytes of the others."),
};

const RESERVED = `${AGENT_PORT} is the port of console.agent`;

const ONE_END = "it, or backend, is needed, one of them";
const MAIN_CONSOLES = ["serial", "virtio"] as const;

/** Not a literal in `import()`: that is read at the start, needed or not. */
const OPEN = new URL("./open_console.ts", import.meta.url).href;

/** At most one. */
export const CONSOLE: Kind<VirtioConsole, FilledConsole, ConsoleData> & {
  list: false;
} = {
  list: false,
  order: 60,
  about: "A virtio console.",
  status: "Vireo's own",
  rule: object<VirtioConsole, "main" | "ports">(CONSOLE_KEYS),
  make: new URL("../../devices/virtio/console/make.ts", import.meta.url),
  early: (console) =>
    [console, ...console.ports].some(({ backend }) => backend !== undefined),

  conflicts([console]) {
    const { main = false, ports = [], agent = false, backend } = console!;
    const most = MAX_PORTS - Number(main) - Number(agent);
    const tooMany = `${ports.length} ports; at most ${most} fit`;
    const nothing = "neither main nor a port: it has nothing to do";
    const names = ports.map(({ name }) => name);
    return [
      ...!main && !agent && ports.length === 0
        ? [conflict("console", nothing)]
        : [],
      ...backend !== undefined && !main
        ? [conflict("console.backend", "is the main console's: see main")]
        : [],
      ...ports.length > most ? [conflict("console.ports", tooMany)] : [],
      ...twice("console.ports", "name", names),
      ...ports.flatMap(({ path, backend }, index) =>
        (path === undefined) === (backend === undefined)
          ? [conflict(`console.ports[${index}].path`, ONE_END)]
          : []
      ),
      ...names.flatMap((name, index) =>
        name === AGENT_PORT
          ? [conflict(`console.ports[${index}].name`, RESERVED)]
          : []
      ),
    ];
  },

  cmdline: (consoles) =>
    consoles.some(({ agent }) => agent) ? ["VIREO_AGENT=1"] : [],

  async open(console, stack) {
    const { openConsole }: typeof import("./open_console.ts") = await import(
      OPEN
    );
    return openConsole(console, stack);
  },

  options: {
    rows: [
      {
        flags: "--console <which>",
        about: "the main console: serial, virtio, or backend=MODULE" +
          "[,KEY=VALUE]",
        default: "serial",
        values: [...MAIN_CONSOLES, "backend=MODULE"],
      },
      {
        flags: "--port <port>",
        about: "a port of the virtio console: NAME=PATH of a Unix socket; " +
          "repeatable",
        repeatable: true,
      },
      {
        flags: "--agent",
        about: "the guest takes vireo exec and cp (prepared root image)",
      },
    ],
    read: (
      { console, port, agent }: {
        console?: string;
        port?: string[];
        agent?: boolean;
      },
    ) => parseConsole(console, port, agent),
    texts: {
      "ports": (finding) => `console: ${findingText(finding)}`,
      "ports.name": ({ code, value }) =>
        code === "taken"
          ? `port "${value}": there are two of that name`
          : `port "${value}": a name has 1 to ${PORT_NAME_MAX} bytes, ` +
            "and no slash",
    },
  },
};

/**
 * A virtio console from `--console serial|virtio|backend=MODULE`, each
 * `--port NAME=PATH` and `--agent`; undefined when there is nothing for it to do.
 *
 * @throws {VireoError} when a word is unknown, or a name or a path missing
 */
export function parseConsole(
  console = "serial",
  ports: readonly string[] = [],
  agent = false,
): VirtioConsole | undefined {
  const own = console.startsWith("backend=")
    ? moduleWords("--console backend", console.slice("backend=".length))
    : undefined;
  const main = own !== undefined ||
    parseChoice("--console", console, MAIN_CONSOLES) === "virtio";
  if (!main && !agent && ports.length === 0) return undefined;
  return {
    main,
    ...(own && { backend: own.module, backend_options: own.options }),
    ports: ports.map(parsePort),
    ...(agent && { agent }),
  };
}

function parsePort(text: string): ConsoleSocket {
  const [name, path] = text.split(/=(.*)/s);
  if (!name || !path) {
    throw new VireoError(`--port ${text}: not of the form NAME=PATH`);
  }
  return { name, path };
}
