/** Command lines that are read without the parser: it would read the same. */
import assert from "node:assert/strict";
import { Command } from "commander";
import { COMMANDS, type DirectCommand } from "./commands.ts";
import { parseDirectly } from "./direct.ts";
import { RowOption } from "./option.ts";
import { foldEvents } from "./snapshot/event_words.ts";

type Name = keyof typeof COMMANDS;

const commandOf = (name: Name) => COMMANDS[name] as DirectCommand;

/** What the parser makes of them; undefined: it refuses them, or helps. */
async function parsed(name: Name, args: readonly string[]) {
  const { rows, passesOn, takes: [least, most] } = commandOf(name);
  const command = new Command(name).exitOverride().enablePositionalOptions()
    .configureOutput({ writeErr() {}, writeOut() {} })
    .argument("[words...]");
  if (passesOn) command.passThroughOptions();
  for (const row of await rows()) command.addOption(new RowOption(row));
  try {
    command.parse(args, { from: "user" });
  } catch {
    return undefined;
  }
  const { args: words } = command;
  if (words.length < least || words.length > most) return undefined;
  return { words, options: command.opts() };
}

async function directly(name: Name, args: readonly string[]) {
  const command = commandOf(name);
  return parseDirectly(args, await command.rows(), command);
}

const USUAL: [Name, string][] = [
  ["boot", ""],
  ["boot", "--quiet --exec true"],
  ["boot", "--disk a,ro --disk=b --cpus 2 --memory=1G vmlinux"],
  ["boot", "--snapshot-on signal /s --no-control --name=web --rng"],
  ["run", "--config vm.json --timeout 60"],
  ["restore", "s"],
  ["restore", "--trust s --disk vireo-1=a=b --snapshot-on text words t"],
  ["exec", "web true"],
  ["exec", "--env A=1 --env B=2 --tty web ls --tty -la --env"],
];

Deno.test("direct command line: the usual ones are read, as the parser reads them", async () => {
  for (const [name, line] of USUAL) {
    const args = foldEvents(line.split(" ").filter((word) => word !== ""));
    const found = await directly(name, args);
    assert.ok(found, `vireo ${name} ${line}`);
    assert.deepEqual(found, await parsed(name, args), `vireo ${name} ${line}`);
  }
});

const OTHERS: [Name, string][] = [
  ...["--help", "-h", "--cpus", "--cpu 1", "--quiet=1", "a b", "-- a"].map(
    (line): [Name, string] => ["boot", line],
  ),
  ["boot", "--exec --quiet"],
  ["boot", "--monitor a"],
  ["boot", "--name="],
  ["run", "vm.json"],
  ["restore", ""],
  ["restore", "--no-trust s"],
  ["exec", "-t web"],
  ["exec", "--tty"],
  ["exec", "--constructor web"],
];

Deno.test("direct command line: help, mistakes and rarer ways to say it are the parser's", async () => {
  for (const [name, line] of OTHERS) {
    const args = line.split(" ").filter((word) => word !== "");
    const found = await directly(name, args);
    assert.equal(found, undefined, `vireo ${name} ${line}`);
  }
});

Deno.test("direct command line: of any words, what is read is what the parser reads", async () => {
  let seed = 15;
  const below = (limit: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor(seed / 2 ** 32 * limit);
  };
  let read = 0;
  for (const name of Object.keys(COMMANDS) as Name[]) {
    const flags = (await commandOf(name).rows()).flatMap(({ flags }) =>
      flags.match(/-[-\w]+/g) ?? []
    );
    const other = ["a", "b=c", "", "-", "--", "--x", "-x", "-1", "x y", "--no"];
    for (let i = 0; i < 400; i++) {
      const args = Array.from({ length: below(6) }, () => {
        const flag = flags[below(flags.length)]!;
        return [flag, flag, `${flag}=v`, `${flag}=`, "w", other[below(10)]!][
          below(6)
        ]!;
      });
      const found = await directly(name, args);
      if (found === undefined) continue;
      read++;
      assert.deepEqual(found, await parsed(name, args), `${name} ${args}`);
    }
  }
  assert.ok(read > 100, `only ${read} were read`);
});
