/** Help, versions, and what was likely meant. */
import assert from "node:assert/strict";
import { vireo } from "../vmm/testing/command.ts";
import { boot as vireoBoot } from "./boot.ts";
import { HELP, VIREO_HELP } from "./help.ts";

/** Of `vireo boot`'s options. */
const DEFAULTS = {
  ...{ memory: "128M", cpus: "1", transport: "mmio" },
  ...{ disk: [], net: [], device: [], port: [] },
};

const NAMES = Object.keys(HELP) as (keyof typeof HELP)[];

/** Exit status 1, nothing on stdout, and this on stderr. */
async function refuses(line: string, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await vireo(args);
  assert.equal(stderr, `vireo: ${line}\n`);
  assert.deepEqual([code, stdout], [1, ""]);
}

Deno.test("help: 80 columns, and two examples first, of options that there are", async () => {
  const helps = new Map<string, string>();
  for (const name of [...NAMES, undefined]) {
    const args = name === undefined ? ["--help"] : [name, "--help"];
    const { code, stdout } = await vireo(args);
    assert.equal(code, 0);
    helps.set(name ?? "", stdout);
    const wide = stdout.split("\n").filter((line) => line.length > 80);
    assert.deepEqual(wide, [], name);
    const { examples } = name === undefined ? VIREO_HELP : HELP[name];
    assert.ok(stdout.startsWith(`${examples.slice(1)}\n\nUsage: vireo`), name);
    assert.equal(examples.match(/\n.*\bvireo /g)?.length, 2, name);
  }
  for (const { examples } of [VIREO_HELP, ...Object.values(HELP)]) {
    for (const [, name, rest] of examples.matchAll(/vireo ([\w-]+)(.*)/g)) {
      for (const [option] of rest!.matchAll(/--[\w-]+/g)) {
        assert.match(
          helps.get(name!)!,
          new RegExp(`^  (-h, )?${option}\\b`, "m"),
        );
      }
    }
  }
});

Deno.test("help: vireo help, with and without a command, is what --help is", async () => {
  for (const name of ["boot", "help", undefined]) {
    const args = name === undefined ? [] : [name];
    const help = await vireo(["help", ...args]);
    assert.deepEqual(help, await vireo([...args, "--help"]));
    assert.equal(help.code, 0);
  }
});

Deno.test("version: Vireo's, Deno's and the kernel's, and only before a command", async () => {
  for (const flag of ["--version", "-V"]) {
    const { code, stdout, stderr } = await vireo([flag]);
    assert.equal(code, 0, stderr);
    const [own, deno, kernel] = stdout.split("\n");
    assert.match(own!, /^vireo \d+\.\d+\.\d+$/);
    assert.ok(deno!.startsWith(`deno ${Deno.version.deno} `), deno);
    assert.ok(kernel!.startsWith(`linux ${Deno.osRelease()} `), kernel);
  }
  // The value of an option, whatever it looks like, is one.
  const { stderr } = await vireo(["boot", "--cpus", "-V"]);
  assert.equal(stderr, "vireo: --cpus -V: not a whole number\n");
});

Deno.test("nearest: commands and options", async () => {
  await refuses("unknown command 'bot' (Did you mean boot?)", "bot");
  await refuses(
    'help bot: no such command; did you mean "boot"?',
    "help",
    "bot",
  );
  await refuses(
    "unknown option '--dsk' (Did you mean --disk?)",
    "boot",
    "--dsk",
  );
  await refuses(
    "unknown option '--confg' (Did you mean --config?)",
    ...["run", "--confg", "x"],
  );
  await refuses(
    "unknown option '--verson' (Did you mean --version?)",
    "--verson",
  );
  // Where the parser has no suggestion of its own.
  await refuses(
    "unknown option '--memry=1G' (Did you mean --memory?)",
    ...["boot", "--memry=1G"],
  );
  await refuses(
    "unknown option '--cmd' (Did you mean --cmdline?)",
    ...["boot", "--cmd", "x"],
  );
  await refuses(
    "unknown option '--quiet=yes' (Did you mean --quiet?)",
    ...["boot", "--quiet=yes"],
  );
  await refuses(
    `unknown option '--ram'; see "vireo help boot"`,
    ...["boot", "--ram", "1G"],
  );
  await refuses(`unknown command 'start'; see "vireo help"`, "start");
  await refuses(
    "too many arguments for 'run'. Expected 0 arguments but got 1: vm.json; " +
      'see "vireo help run"',
    ...["run", "vm.json"],
  );
});

Deno.test("nearest: words of options", async () => {
  const boot = (option: string, value: string, line: string) => {
    const name = option.slice(2);
    const list = ["disk", "net"].includes(name) ? [value] : value;
    return assert.rejects(vireoBoot({ ...DEFAULTS, [name]: list }), {
      name: "VireoError",
      message: `${option} ${value}: ${line}`,
    });
  };
  const form = "FILE[,ro][,direct][,queues=N]";
  await boot(
    ...["--disk", "x,direkt"] as const,
    `unknown word "direkt"; did you mean "direct"?; ${form}`,
  );
  await boot(
    ...["--disk", "x,ro,queue=2"] as const,
    `unknown word "queue=2"; did you mean "queues=N"?; ${form}`,
  );
  await boot("--disk", "x,rw", `unknown word "rw"; ${form}`);
  const net = "tap=NAME, passt, passt=SOCKET, switch=SOCKET, handler=MODULE, " +
    "netns=NS, queues=N, mac=M, pcap=FILE";
  await boot(
    ...["--net", "tab=t"] as const,
    `"tab=t" is not one of ${net}; did you mean "tap=NAME"?`,
  );
  await boot(
    ...["--net", "past"] as const,
    `"past" is not one of ${net}; did you mean "passt"?`,
  );
  await boot(
    ...["--net", "tap=t,que=2"] as const,
    `"que=2" is not one of ${net}`,
  );
  await boot(
    ...["--balloon", "64,reportin"] as const,
    'unknown word "reportin"; did you mean "reporting"?; ' +
      "MIB[,oom][,stats=SECONDS][,reporting][,hinting]",
  );
  await boot(
    ...["--vsock", "cid=3,usd=/s"] as const,
    'not of the form cid=3,uds=PATH; did you mean "uds=PATH"?',
  );
  await boot(
    ...["--console", "virtoi"] as const,
    'not one of serial, virtio; did you mean "virtio"?',
  );
  await boot(
    ...["--console", "virtual"] as const,
    "not one of serial, virtio",
  );
  await boot(
    ...["--transport", "pcie"] as const,
    'not one of mmio, pci; did you mean "pci"?',
  );
  await boot("--acpi", "of", 'not one of auto, on, off; did you mean "off"?');
  await boot(
    ...["--entry", "vmlinuz"] as const,
    'not one of vmlinux, pvh, bzimage; did you mean "vmlinux"?',
  );
  await boot(
    ...["--distro", "debain"] as const,
    'only "debian" is known; did you mean "debian"?',
  );
  await boot(
    ...["--root", "x,direkt"] as const,
    `unknown word "direkt"; did you mean "direct"?; ${form}`,
  );
  await boot("--root", "busibox", 'no such file; did you mean "busybox"?');
  await boot("--root", "nome,ro", 'no such file; did you mean "none"?');
});
