/**
 * The command line: all commands, and their help.
 *
 * @module
 */
import { Command, CommanderError, Help } from "commander";
// Only what needs no permission, and all commands do: the rest is loaded by the
// command that is run, so that a missing permission gets a message.
import { API_FLAGS } from "../../api/flag_table.ts";
import { VireoError } from "../../ffi/error.ts";
import type { OptionRow } from "../../vmm/devices/kind.ts";
import { didYouMean } from "../../vmm/devices/words.ts";
import { COMMANDS, type DirectCommand } from "../commands.ts";
import {
  HELP,
  HELP_WIDTH,
  type HelpText,
  SNAPSHOT_ACTIONS,
  VIREO_HELP,
} from "../help.ts";
import { load } from "../load.ts";
import type { CpOptions } from "../machines/cp.ts";
import type { TopOptions } from "../machines/top.ts";
import { RowOption } from "../option.ts";
import { PREPARED_KERNEL } from "../options.ts";
import type { PrepareCommandOptions } from "../prepare.ts";
import type { SnapshotActionOptions } from "../snapshot/mod.ts";
import { standardError, standardOutput } from "../streams/output.ts";
import { ended, endInOrder } from "../streams/signals.ts";
import { usageError } from "../usage_error.ts";
import { versionText } from "../version.ts";

/** A command with its help. */
function command(vireo: Command, name: keyof typeof HELP): Command {
  return withHelp(vireo.command(name), HELP[name]);
}

function withHelp(command: Command, { examples, details }: HelpText): Command {
  command.addHelpText("before", `${examples.slice(1)}\n`).configureOutput({
    writeOut: (text) => standardOutput.write(text),
    writeErr: (text) => standardError.write(text),
    outputError: (text, write) => write(`${usageError(text, command)}\n`),
  });
  return details ? command.addHelpText("after", details) : command;
}

function addRows(command: Command, rows: readonly OptionRow[]): void {
  for (const row of rows) command.addOption(new RowOption(row));
}

/** Carries one of {@linkcode COMMANDS} out, as the parser calls it. */
function runs(name: keyof typeof COMMANDS) {
  return async (...of: unknown[]): Promise<void> => {
    const words = of.slice(0, -2).flat() as string[];
    const { run } = COMMANDS[name] as DirectCommand;
    Deno.exitCode = await run(words, of.at(-2));
  };
}

/** What is asked of a machine that runs. */
const CONTROLLED = [
  ["pause", "Stop a machine where it is."],
  ["resume", "Let it go on."],
  ["power-button", "Ask its guest to shut down."],
] as const;

/** The command line. Only one that needs them loads what knows of devices. */
async function program(args: readonly string[]): Promise<Command> {
  const vireo = withHelp(new Command("vireo"), VIREO_HELP)
    .description("A KVM virtual machine monitor in TypeScript.")
    .option("-V, --version", "versions of Vireo, Deno and the host's kernel")
    .on("option:version", () => {
      standardOutput.print(versionText());
      throw new CommanderError(0, "version", "");
    })
    // What follows a command is its own: "boot --cmdline -V" is no -V of ours.
    .enablePositionalOptions()
    .helpCommand(false)
    .exitOverride()
    .configureHelp({
      helpWidth: HELP_WIDTH,
      optionDescription: (option) =>
        Help.prototype.optionDescription(option).replace(" (default: [])", ""),
    });
  const boot = command(vireo, "boot")
    .description("Boot a Linux kernel.")
    .argument(
      "[kernel]",
      "vmlinux, bzImage or PVH kernel; default: the prepared one",
    )
    .action(runs("boot"));
  if (args.includes("boot") || args.includes("completion")) {
    addRows(boot, await COMMANDS.boot.rows());
  }

  const run = command(vireo, "run")
    .description("Run the machine that a configuration file describes.")
    .action(runs("run"));
  addRows(run, await COMMANDS.run.rows());

  const restore = command(vireo, "restore")
    .description("Let a saved machine go on.")
    .argument("<folder>", "where it was saved")
    .action(runs("restore"));
  addRows(restore, await COMMANDS.restore.rows());

  command(vireo, "ps")
    .description("List the machines that run.")
    .option("--json", "for programs")
    .action(async (options: { json?: boolean }) => {
      const { ps }: typeof import("../machines/ps.ts") = await load(
        new URL("../machines/ps.ts", import.meta.url),
      );
      standardOutput.print(await ps(options));
    });

  command(vireo, "top")
    .description("Show what machines do, once a second.")
    .argument("[machines...]", "their names or PIDs; default: all")
    .option("--once", "one look, as lines; so it is without a terminal")
    .option("--interval <seconds>", "time between two looks; default: 1")
    .action(async (names: string[], options: TopOptions) => {
      const { top }: typeof import("../machines/top.ts") = await load(
        new URL("../machines/top.ts", import.meta.url),
      );
      await top(names, options);
    });

  for (const [name, about] of CONTROLLED) {
    command(vireo, name)
      .description(about)
      .argument("<machine>", "its name or PID")
      .action(async (machine: string) => {
        const { control }: typeof import("../machines/control.ts") = await load(
          new URL("../machines/control.ts", import.meta.url),
        );
        await control(machine, name);
      });
  }

  command(vireo, "gdb")
    .description("Debug a machine that runs.")
    .argument("<machine>", "its name or PID")
    .argument("[vmlinux]", "the kernel with its symbols; default: as booted")
    .action(async (machine: string, vmlinux?: string) => {
      const { gdb }: typeof import("../machines/gdb.ts") = await load(
        new URL("../machines/gdb.ts", import.meta.url),
      );
      Deno.exitCode = await gdb(machine, vmlinux);
    });

  command(vireo, "dump")
    .description("Write the state of a machine as an ELF core.")
    .argument("<machine>", "its name or PID")
    .argument("<file>", "a new file")
    .action(async (machine: string, file: string) => {
      const { dump }: typeof import("../machines/gdb.ts") = await load(
        new URL("../machines/gdb.ts", import.meta.url),
      );
      await dump(machine, file);
    });

  const exec = command(vireo, "exec")
    .description("Run a command in a machine's guest.")
    .argument("<machine>", "its name or PID")
    .argument("[words...]", "one is for the guest's shell; none: a shell")
    .passThroughOptions()
    .action(runs("exec"));
  addRows(exec, await COMMANDS.exec.rows());

  command(vireo, "cp")
    .description("Copy files to or from a machine's guest.")
    .argument("<from>", "a file, or MACHINE:PATH")
    .argument("<to>", "the same; one of both is in a guest")
    .option("-r, --recursive", "a folder, with all that is in it")
    .action(async (from: string, to: string, options: CpOptions) => {
      const { cp }: typeof import("../machines/cp.ts") = await load(
        new URL("../machines/cp.ts", import.meta.url),
      );
      await cp(from, to, options);
    });

  command(vireo, "snapshot")
    .description("Save a machine that runs; see what was saved.")
    .argument("<action>", Object.keys(SNAPSHOT_ACTIONS).join(", "))
    .argument("[of...]", "what each takes, as below")
    .option("--since <folder>", "create: only what differs from that one")
    .option("--sync", "create: let it outlive a power cut, too")
    .action(async (
      action: string,
      words: string[],
      options: SnapshotActionOptions,
    ) => {
      const { snapshotCommand }: typeof import("../snapshot/mod.ts") =
        await load(new URL("../snapshot/mod.ts", import.meta.url));
      const text = await snapshotCommand(action, words, options);
      if (text !== "") standardOutput.print(text);
    });

  command(vireo, "switch")
    .description("Connect machines by an Ethernet switch.")
    .argument("<link...>", "SOCKET[,latency=MS][,loss=FRACTION]..., as below")
    .action(async (links: string[]) => {
      const { switchCommand }: typeof import("../switch.ts") = await load(
        new URL("../switch.ts", import.meta.url),
      );
      await switchCommand(links);
    });

  const api = command(vireo, "api")
    .description("Serve Firecracker's API on a Unix socket.")
    .action(async () => {
      const { api }: typeof import("../../api/main.ts") = await load(
        new URL("../../api/main.ts", import.meta.url),
      );
      await api(args.slice(args.indexOf("api") + 1));
    });
  for (const [flags, about] of API_FLAGS) api.option(flags, about);

  command(vireo, "trace")
    .description("Say what a trace's file has in it.")
    .argument("<action>", "summary")
    .argument("<file>", "what --trace has written")
    .option("--json", "for programs")
    .action(async (
      action: string,
      file: string,
      options: { json?: boolean },
    ) => {
      const { traceCommand }: typeof import("../trace.ts") = await load(
        new URL("../trace.ts", import.meta.url),
      );
      standardOutput.print(await traceCommand(action, file, options));
    });

  command(vireo, "probe")
    .description("Tell what this host offers, and what that means.")
    .option("--json", "for programs")
    .action(async (options: { json?: boolean }) => {
      const { probeCommand }: typeof import("../../probe/command.ts") =
        await load(
          new URL("../../probe/command.ts", import.meta.url),
        );
      const print = (text: string) => standardOutput.print(text);
      Deno.exitCode = probeCommand(options, print);
    });

  command(vireo, "demo")
    .description("Show disk and network working, in two seconds.")
    .action(async () => {
      const { demo }: typeof import("../../examples/demo.ts") = await load(
        new URL("../../examples/demo.ts", import.meta.url),
      );
      endInOrder();
      const print = (bytes: Uint8Array) => standardOutput.write(bytes);
      Deno.exitCode = await demo(print, ended);
    });

  command(vireo, "inspect")
    .description("Say what a kernel is, and whether it boots.")
    .argument("<kernel>", "vmlinux, bzImage, or one of them compressed")
    .option("--json", "as JSON")
    .action(async (kernel: string, { json }: { json?: true }) => {
      const { inspectKernel }: typeof import("../../guest/kernel/inspect.ts") =
        await load(new URL("../../guest/kernel/inspect.ts", import.meta.url));
      const { formatReport }:
        typeof import("../../guest/kernel/inspect_text.ts") = await load(
          new URL("../../guest/kernel/inspect_text.ts", import.meta.url),
        );
      const report = await inspectKernel(kernel);
      standardOutput.print(
        json ? JSON.stringify(report, null, 2) : formatReport(report),
      );
    });

  const prepare = command(vireo, "prepare")
    .description("Build the guest kernel and root image.")
    .option("--all", "the small and the full kernel, and bzImages")
    .option("--list", "show the machines that are kept for the next boot")
    .option("--clean", "remove them")
    .option("--export <file>", "put what is prepared into an archive")
    .option(
      "--from <file>",
      "take it from such an archive: a file, a URL, or a folder",
    )
    .action(async (options: PrepareCommandOptions) => {
      const { prepareCommand }: typeof import("../prepare.ts") = await load(
        new URL("../prepare.ts", import.meta.url),
      );
      await prepareCommand(options);
    });
  addRows(prepare, PREPARED_KERNEL);

  command(vireo, "completion")
    .description("Print what makes a shell complete this command line.")
    .argument("<shell>", "bash or zsh")
    .action(async (shell: string) => {
      const { completion }: typeof import("../completion/mod.ts") = await load(
        new URL("../completion/mod.ts", import.meta.url),
      );
      standardOutput.print(completion(vireo, shell));
    });

  command(vireo, "help")
    .description("Show this, or the help of a command.")
    .argument("[command]", "one of those")
    .action((name?: string) => commandNamed(vireo, name).outputHelp());
  return vireo;
}

function commandNamed(vireo: Command, name: string | undefined): Command {
  if (name === undefined) return vireo;
  const found = vireo.commands.find((command) => command.name() === name);
  if (found !== undefined) return found;
  const names = vireo.commands.map((command) => command.name());
  throw new VireoError(
    `help ${name}: no such command${didYouMean(name, names)}`,
  );
}

/**
 * Parses a command line, and carries it out.
 *
 * @param args as of a process, after `foldEvents`
 * @returns the exit status, unless a command has set the process's
 * @throws {VireoError} what a command throws
 */
export async function runProgram(
  args: readonly string[],
): Promise<number | undefined> {
  try {
    const vireo = await program(args);
    await vireo.parseAsync(args, { from: "user" });
  } catch (error) {
    // It has said what is wrong.
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
}
