/** The command line of `bin/jailer`. */
import assert from "node:assert/strict";
import { parseFlags } from "./flags.ts";

const NEEDED = [
  ...["--id", "a-1", "--exec-file", "f", "--uid", "7", "--gid", "8"],
];

Deno.test("jailer's flags: all of them, and what is for the program", () => {
  assert.deepEqual(parseFlags(NEEDED), {
    ...{ id: "a-1", execFile: "f", uid: 7, gid: 8, base: "/srv/jailer" },
    ...{ cgroupVersion: 1, cgroups: [], limits: { noFile: 2048n } },
    ...{ daemonize: false, newPidNs: false, rest: [] },
  });
  const all = [
    ...["--chroot-base-dir", "/b", "--netns", "/n", "--cgroup", "cpu.a=1"],
    ...["--cgroup", "memory.memsw.limit_in_bytes=2"],
    ...["--cgroup-version", "2", "--parent-cgroup", "x/y"],
    ...["--resource-limit", "fsize=5", "--resource-limit", "no-file=99"],
    ...["--daemonize", "--new-pid-ns", "--", "--no-api", "--", "--version"],
  ];
  assert.deepEqual(parseFlags([...NEEDED, ...all]), {
    ...{ id: "a-1", execFile: "f", uid: 7, gid: 8, base: "/b", netns: "/n" },
    ...{ cgroupVersion: 2, parentCgroup: "x/y" },
    cgroups: [
      { file: "cpu.a", value: "1" },
      { file: "memory.memsw.limit_in_bytes", value: "2" },
    ],
    limits: { fsize: 5n, noFile: 99n },
    ...{ daemonize: true, newPidNs: true },
    rest: ["--no-api", "--", "--version"],
  });
  assert.equal(parseFlags(["--nonsense", "--version"]), "version");
  assert.equal(parseFlags(["--nonsense", "--help"]), "help");
});

Deno.test("jailer's flags: what is wrong with them is said in Firecracker's words", () => {
  const parse = "Failed to parse arguments: ";
  const parent =
    "Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'";
  const rows: [string, string[]][] = [
    [`${parse}Argument 'id' required, but not found.`, []],
    [`${parse}Argument 'uid' required, but not found.`, [
      ...["--id", "a", "--exec-file", "f", "--gid", "1"],
    ]],
    [`${parse}The argument 'id' requires a value, but none was supplied.`, [
      "--id",
    ]],
    [
      `${parse}Found argument 'nonsense' which wasn't expected, or isn't valid in this context.`,
      [...NEEDED, "--nonsense"],
    ],
    [`${parse}The argument 'id' was provided more than once.`, [
      ...[...NEEDED, "--id", "b"],
    ]],
    [`${parse}The argument 'daemonize' was provided more than once.`, [
      ...[...NEEDED, "--daemonize", "--daemonize"],
    ]],
    [
      "Invalid format for cgroups: cpu.shares",
      [...NEEDED, "--cgroup", "cpu.shares"],
    ],
    ["Invalid format for cgroups: a.b=", [...NEEDED, "--cgroup", "a.b="]],
    ["Cgroup invalid file: cpu", [...NEEDED, "--cgroup", "cpu=1"]],
    [
      "Cgroup invalid file: cpu.../tasks",
      [...NEEDED, "--cgroup", "cpu.../tasks=1"],
    ],
    [
      "3 is an invalid cgroup version specifier",
      [...NEEDED, "--cgroup-version", "3"],
    ],
    ...["/a", "..", "a/../b", ".", "a//b"].map((path): [string, string[]] => [
      parent,
      [...NEEDED, "--parent-cgroup", path],
    ]),
    [
      "Invalid format for resources limits: 5",
      [...NEEDED, "--resource-limit", "5"],
    ],
    [
      "Invalid resource argument: cpu",
      [...NEEDED, "--resource-limit", "cpu=5"],
    ],
    [
      "Invalid limit value for resource: x: invalid digit found in string",
      [...NEEDED, "--resource-limit", "fsize=x"],
    ],
    [
      `Invalid limit value for resource: ${
        2n ** 64n
      }: number too large to fit in target type`,
      [...NEEDED, "--resource-limit", `no-file=${2n ** 64n}`],
    ],
  ];
  for (const [message, args] of rows) {
    assert.throws(() => parseFlags(args), { message }, args.join(" "));
  }
  const one = (name: string, value: string) =>
    NEEDED.map((word, at) => NEEDED[at - 1] === name ? value : word);
  for (
    const [message, name, value] of [
      ["Invalid instance ID: Invalid char (_) at position 1", "--id", "a_b"],
      ["Invalid instance ID: Invalid char (.) at position 0", "--id", "../x"],
      [
        "Invalid instance ID: Invalid len (65);  the length must be between 1 and 64",
        "--id",
        "a".repeat(65),
      ],
      ["Invalid uid: root", "--uid", "root"],
      ["Invalid uid: -1", "--uid", "-1"],
      // It would mean "the same as now", which is root.
      ["Invalid uid: 4294967295", "--uid", "4294967295"],
      ["Invalid gid: 4294967296", "--gid", "4294967296"],
    ] as const
  ) {
    assert.throws(() => parseFlags(one(name, value)), { message }, value);
  }
});
