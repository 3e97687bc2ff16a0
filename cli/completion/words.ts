/**
 * What can be typed where, as data: the same for every shell.
 *
 * @module
 */
import type { Argument, Command, Option } from "commander";
import { SNAPSHOT_ACTIONS } from "../help.ts";
import { RowOption } from "../option.ts";

/** The shells that have a script. */
export const SHELLS = ["bash", "zsh"] as const;

/** A command, and what can follow it. */
export interface CommandWords {
  /** Its name; empty before there is a command. */
  readonly name: string;
  /** What it does. */
  readonly about: string;
  /** Its options. */
  readonly options: readonly OptionWords[];
  /** What its argument can be; undefined: it takes none. */
  readonly argument?: ValueWords;
}

/** An option. */
export interface OptionWords {
  /** `--disk`, after a short form if there is one. */
  readonly flags: readonly string[];
  /** What it does. */
  readonly about: string;
  /** It may stand several times. */
  readonly repeatable: boolean;
  /** What its value can be; undefined: it takes none. */
  readonly value?: ValueWords;
}

/** What a value can be. */
export interface ValueWords {
  /** What help calls it: `file`. */
  readonly name: string;
  /** A file, too. */
  readonly file: boolean;
  /** What it is, or begins with; what ends with `=` wants more. */
  readonly values: readonly string[];
  /** What may follow after commas. */
  readonly words: readonly string[];
  /** Of all those, what is followed by a file: `pcap=`. */
  readonly fileKeys: readonly string[];
}

/** What help calls values that are paths. */
const FILES = ["file", "module", "kernel"];
const FILE_KEY = /=(FILE|PATH|SOCKET|MODULE)$/;

/** Every command, and first what can stand before one. */
export function commandWords(vireo: Command): CommandWords[] {
  const names = vireo.commands.map((command) => command.name());
  const action = Object.keys(SNAPSHOT_ACTIONS);
  const choices = { command: names, shell: SHELLS, action };
  const words = (command: Command, name: string): CommandWords => ({
    name,
    about: command.description(),
    options: command.createHelp().visibleOptions(command).map(optionWords),
    argument: argumentWords(command.registeredArguments[0], choices),
  });
  const first = valueWords("command", { values: names });
  return [
    { ...words(vireo, ""), argument: first },
    ...vireo.commands.map((command) => words(command, command.name())),
  ];
}

function optionWords(option: Option): OptionWords {
  const row = option instanceof RowOption ? option.row : undefined;
  const [, name] = /<(.*?)>/.exec(option.flags) ?? [];
  return {
    flags: [option.short, option.long].filter((flag) =>
      typeof flag === "string"
    ),
    about: option.description,
    repeatable: row?.repeatable ?? false,
    value: name === undefined ? undefined : valueWords(name, row ?? {}),
  };
}

function argumentWords(
  argument: Argument | undefined,
  choices: Readonly<Record<string, readonly string[]>>,
): ValueWords | undefined {
  const name = argument?.name();
  return name === undefined
    ? undefined
    : valueWords(name, { values: choices[name] });
}

function valueWords(
  name: string,
  { values = [], words = [] }: {
    values?: readonly string[];
    words?: readonly string[];
  },
): ValueWords {
  // "queues=N" is typed up to the "=".
  const typed = (word: string) => word.replace(/=.*/s, "=");
  const fileKeys = [...values, ...words].filter((word) => FILE_KEY.test(word));
  return {
    name,
    file: FILES.includes(name),
    values: values.map(typed),
    words: words.map(typed),
    fileKeys: [...new Set(fileKeys.map(typed))],
  };
}
