/**
 * What gdb's `monitor` command does here.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { DebuggedMachine } from "../../vmm/introspection/gdb.ts";
import type { MachineView } from "../../vmm/introspection/machine_view.ts";
import { deviceText } from "../../vmm/introspection/report.ts";
import type { Snapshot } from "../../vmm/snapshot/mod.ts";

/** One of them. */
interface MonitorCommand {
  /** What it takes, and what it does. */
  help: string;
  /** Does it; what it prints. */
  run(of: MonitorCommands, words: readonly string[]): string | Promise<string>;
}

const HINT = "gdb keeps what it has read: maintenance flush register-cache";

const COMMANDS: Readonly<Record<string, MonitorCommand>> = {
  help: {
    help: "this",
    run: () =>
      Object.entries(COMMANDS).map(([name, { help }]) =>
        `monitor ${name}`.padEnd(18) + help
      ).join("\n"),
  },
  state: {
    help: "registers of all vCPUs, devices, queues",
    run: (of) => of.look((view) => `${view.state()}`),
  },
  devices: {
    help: "the virtio devices, and how far their drivers are",
    run: (of) =>
      of.look((view) =>
        text(
          view.devices().map((device) => deviceText({ ...device, queues: [] })),
        )
      ),
  },
  queues: {
    help: "[DEVICE]: their queues, and the requests in them",
    run: (of, [name]) =>
      of.look((view) => {
        const all = view.devices();
        const found = all.filter((device) => !name || device.name === name);
        if (found.length > 0 || !name) return text(found.map(deviceText));
        const names = all.map((device) => device.name).join(", ") || "none";
        throw new VireoError(`no device "${name}"; there are ${names}`);
      }),
  },
  walk: {
    help: "ADDRESS: the way through the first vCPU's page tables",
    run: (of, [address]) => of.look((view) => walkText(view, address)),
  },
  snapshot: {
    help: "[FOLDER]: saves the machine there, or for monitor reset",
    run: (of, [folder]) => of.snapshot(folder),
  },
  dump: {
    help: "FILE: writes an ELF core, for gdb and a vmlinux",
    run: (of, [file]) => of.dump(file),
  },
  reset: {
    help: "puts the machine back to the last monitor snapshot",
    run: (of) => of.reset(),
  },
};

function text(lines: readonly string[]): string {
  return lines.length > 0 ? lines.join("\n") : "none";
}

/** The commands of one conversation. */
export class MonitorCommands implements Disposable {
  readonly #machine: DebuggedMachine;
  #snapshot: Snapshot | undefined;

  /** For `machine`. */
  constructor(machine: DebuggedMachine) {
    this.#machine = machine;
  }

  /**
   * Does what the words say.
   *
   * @returns what to print
   * @throws {VireoError} there is no such command, or it can't
   */
  async run(line: string): Promise<string> {
    const [name = "", ...words] = line.trim().split(/\s+/);
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new VireoError(`no such command: "${name}"; "monitor help"`);
    }
    return await COMMANDS[name]!.run(this, words);
  }

  /** Shows the machine to `look`. */
  look(look: (view: MachineView) => string): Promise<string> {
    return this.#machine.introspect(look);
  }

  /** Saves the machine in a folder; without one, for {@linkcode reset}. */
  async snapshot(folder?: string): Promise<string> {
    const snapshot = await this.#machine.snapshot();
    if (folder === undefined) {
      this.#snapshot?.[Symbol.dispose]();
      this.#snapshot = snapshot;
      return 'kept for "monitor reset", until gdb goes';
    }
    using _saved = snapshot;
    snapshot.save(absolute(folder));
    return `saved in ${folder}`;
  }

  /** Writes a core. */
  async dump(file?: string): Promise<string> {
    const path = absolute(file);
    await this.#machine.introspect((view) => view.dump(path));
    return `written: ${path}`;
  }

  /** Puts the machine back. */
  async reset(): Promise<string> {
    if (this.#snapshot === undefined) {
      throw new VireoError('nothing to go back to: "monitor snapshot" first');
    }
    await this.#machine.reset(this.#snapshot);
    return HINT;
  }

  /** Drops what was kept. */
  [Symbol.dispose](): void {
    this.#snapshot?.[Symbol.dispose]();
  }
}

/** gdb's folder is not the machine's. */
function absolute(path = ""): string {
  if (path.startsWith("/")) return path;
  throw new VireoError(`"${path}": an absolute path is wanted`);
}

function walkText({ vcpus }: MachineView, address = ""): string {
  if (!/^(0x)?[0-9a-f]{1,16}$/i.test(address)) {
    throw new VireoError("walk: an address in digits of base 16 is wanted");
  }
  const hex = (value: number | bigint) => `0x${value.toString(16)}`;
  const linear = BigInt(`0x${address.replace(/^0x/i, "")}`);
  const walk = vcpus[0]!.walk(linear);
  const rights = [
    walk.writable ? "writable" : "read-only",
    walk.executable ? "executable" : "no code",
    walk.user ? "user" : "kernel",
  ].join(", ");
  return [
    ...walk.entries.map(({ table, address, value }) =>
      `${table.padEnd(5)} ${hex(address)}: ${hex(value)}`
    ),
    walk.physical === undefined
      ? "not mapped"
      : `at ${hex(walk.physical)}, in a page of ${walk.pageSize} bytes: ` +
        rights,
  ].join("\n");
}
