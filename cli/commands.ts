/**
 * The commands that are used the most: their options, and what they do. All
 * others are in `program/`.
 *
 * @module
 */
import type { OptionRow } from "../vmm/devices/kind.ts";
import type { BootOptions } from "./boot.ts";
import { CRASH_DIR } from "./crash_dir.ts";
import { GDB } from "./gdb_option.ts";
import { load } from "./load.ts";
import type { ExecCommandOptions } from "./machines/exec.ts";
import {
  COLD,
  CONTROL,
  EXEC_ENV,
  MONITORS,
  PAGES,
  QUIET,
  RESTORED_DISK,
  RESTORED_EXEC,
  RUN_INSTANT,
  SNAPSHOT_ON,
  TIMEOUT,
} from "./options.ts";
import type { RunOptions } from "./run.ts";
import type { RestoreOptions } from "./snapshot/restore.ts";

/** One of them. */
export interface DirectCommand<Options = unknown> {
  /** Its options, in the order of its help. */
  rows(): readonly OptionRow[] | Promise<readonly OptionRow[]>;
  /** How many words it takes beside them. */
  takes: readonly [least: number, most: number];
  /** What follows its first word is not for Vireo. */
  passesOn?: boolean;
  /** Carries it out; what it returns is the exit status. */
  run(words: string[], options: Options): Promise<number>;
}

const WATCHED = [SNAPSHOT_ON, GDB, CRASH_DIR];

const boot: DirectCommand<BootOptions> = {
  takes: [0, 1],
  async rows() {
    // In one go with what carries it out.
    await load(new URL("./boot.ts", import.meta.url));
    const { bootOptions }: typeof import("./boot_options.ts") = await load(
      new URL("./boot_options.ts", import.meta.url),
    );
    return bootOptions();
  },
  async run([kernel], options) {
    const { boot }: typeof import("./boot.ts") = await load(
      new URL("./boot.ts", import.meta.url),
    );
    return await boot({ ...options, kernel });
  },
};

const run: DirectCommand<RunOptions> = {
  takes: [0, 0],
  rows: () => [
    { flags: "--config <file>", about: "the configuration, in JSON" },
    ...[COLD, RUN_INSTANT, TIMEOUT, ...CONTROL, ...MONITORS, ...WATCHED],
  ],
  async run(_, options) {
    const { run }: typeof import("./run.ts") = await load(
      new URL("./run.ts", import.meta.url),
    );
    return await run(options);
  },
};

const restore: DirectCommand<RestoreOptions> = {
  takes: [1, 1],
  rows: () => [
    RESTORED_DISK,
    { flags: "--config <file>", about: "what else is otherwise, in JSON" },
    {
      flags: "--trust",
      about: "open what it names on this host, but for modules",
    },
    ...[RESTORED_EXEC, QUIET, PAGES, TIMEOUT, ...CONTROL],
    ...[...MONITORS, ...WATCHED],
  ],
  async run([folder], options) {
    const { EarlyVcpu }: typeof import("../vmm/early_vcpu.ts") = await load(
      new URL("../vmm/early_vcpu.ts", import.meta.url),
    );
    using early = new EarlyVcpu();
    const { restore }: typeof import("./snapshot/restore.ts") = await load(
      new URL("./snapshot/restore.ts", import.meta.url),
    );
    return await restore(folder!, options, early);
  },
};

const exec: DirectCommand<ExecCommandOptions> = {
  takes: [1, Infinity],
  passesOn: true,
  rows: () => [
    {
      flags: "-t, --tty",
      about: "it gets a terminal, as this one is",
    },
    EXEC_ENV,
    {
      flags: "--cwd <folder>",
      about: "the folder that it starts in; default: /root",
    },
    {
      flags: "--timeout <seconds>",
      about: "give it up after so long, with status 124",
    },
  ],
  async run([machine, ...words], options) {
    const { exec }: typeof import("./machines/exec.ts") = await load(
      new URL("./machines/exec.ts", import.meta.url),
    );
    return await exec(machine!, words, options);
  },
};

/** All of them. */
export const COMMANDS = { boot, run, restore, exec } as const;
