/** `bin/jailer` with real machines: what is in a jail, and what is not. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS, root } from "../ffi/testing/needs.ts";
import { exists } from "../ffi/file.ts";
import { TestNamespace } from "../ffi/testing/tap.ts";
import { until } from "../ffi/testing/until.ts";
import { ECHOES } from "../vmm/testing/tiny_guest.ts";
import { closure, references } from "../vmm/testing/module_graph.ts";
import { SOURCES } from "./runtime.ts";
import { Jailed } from "./testing/jailed.ts";

const MOUNTS = Deno.readTextFileSync("/proc/mounts");
const ROOT = root("makes a jail");
const UID = 123_456, GID = 123_457;

const read = (path: string) => Deno.readTextFileSync(path);
const proc = (pid: number, name: string) => read(`/proc/${pid}/${name}`);
const names = (path: string) =>
  [...Deno.readDirSync(path)].map(({ name }) => name).toSorted();

/** The lines of a process' status. */
function status(pid: number): Record<string, string> {
  const lines = proc(pid, "status").trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(":\t")));
}

/** A setting that this host has cgroups for, and its file's folder. */
function cgroup(version: 1 | 2, id: string) {
  const type = version === 1 ? "cgroup" : "cgroup2";
  for (
    const [controller, setting] of [
      ["pids", "pids.max=300"],
      ["hugetlb", "hugetlb.2MB.max=0"],
    ]
  ) {
    for (const line of MOUNTS.split("\n")) {
      const [, mount, found, options] = line.split(" ");
      if (found !== type) continue;
      const all = version === 1
        ? options!.split(",")
        : read(`${mount}/cgroup.controllers`).trim().split(" ");
      if (!all.includes(controller!)) continue;
      const folder = `${mount}/vireo-test-${Deno.pid}/${id}`;
      const [file, value] = setting!.split("=") as [string, string];
      const args = [
        ...["--cgroup", setting!, "--cgroup-version", `${version}`],
        ...["--parent-cgroup", `vireo-test-${Deno.pid}`],
      ];
      return { args, folder, file: `${folder}/${file}`, value };
    }
  }
  return undefined; // this host has the other version
}

/** The contract leaves cgroups; a test doesn't. */
async function removeCgroup(folder: string): Promise<void> {
  await until(() => read(`${folder}/cgroup.procs`) === "", "empty cgroup");
  Deno.removeSync(folder);
  Deno.removeSync(folder.slice(0, folder.lastIndexOf("/")));
}

Deno.test(needing([KVM, NETWORKS, ROOT], {
  name:
    "jailer: a machine in a jail is as the command line says, and a snapshot of it goes on in another",
  async fn() {
    using network = new TestNamespace();
    const id = `test-${Deno.pid}`;
    const limits = cgroup(1, id);
    await using jailed = new Jailed({
      ...{ id, uid: UID, gid: GID },
      args: [
        ...["--netns", `/run/netns/${network.name}`, ...limits?.args ?? []],
        ...["--resource-limit", "no-file=1000"],
        ...["--resource-limit", "fsize=1000000000", "--", "--show-level"],
      ],
    });
    const { root } = jailed;
    {
      using client = await jailed.client();
      const { pid } = jailed.child;
      assert.equal(read(`${root}/firecracker.pid`), `${pid}`);
      const owned = (path: string) => {
        const { uid, gid, mode } = Deno.statSync(`${root}${path}`);
        return [uid, gid, (mode ?? 0) & 0o777];
      };
      assert.deepEqual(owned("/firecracker.pid"), [0, 0, 0o644]);
      for (const path of ["", "/dev", "/dev/net", "/run"]) {
        assert.deepEqual(owned(path), [UID, GID, 0o700], path);
      }
      for (const path of ["/dev/kvm", "/dev/net/tun", "/dev/urandom"]) {
        assert.deepEqual(owned(path), [UID, GID, 0o600], path);
      }
      const found = status(pid);
      assert.equal(found.Name, "firecracker");
      assert.deepEqual(found.Uid?.split("\t"), Array(4).fill(`${UID}`));
      assert.deepEqual(found.Gid?.split("\t"), Array(4).fill(`${GID}`));
      assert.equal(found.Groups?.trim(), "");
      assert.equal(found.CapEff, "0".repeat(16));
      assert.equal(found.NoNewPrivs, "1");
      assert.equal(
        Deno.statSync(`/proc/${pid}/ns/net`).ino,
        Deno.statSync(`/run/netns/${network.name}`).ino,
      );
      assert.match(proc(pid, "limits"), /^Max open files +1000 +1000 /m);
      assert.match(proc(pid, "limits"), /^Max file size +1000000000 +1/m);
      assert.doesNotMatch(proc(pid, "environ"), /SECRET/);
      assert.match(
        proc(pid, "cmdline"),
        new RegExp(
          `^/firecracker\0.*\0--id\0${id}\0--start-time-us\0\\d+\0` +
            "--start-time-cpu-us\0\\d+\0--parent-cpu-time-us\0\\d+\0" +
            "--show-level\0$",
        ),
      );
      if (limits !== undefined) {
        assert.ok(
          proc(pid, "cgroup").includes(`/vireo-test-${Deno.pid}/${id}`),
        );
        assert.equal(read(limits.file), `${limits.value}\n`);
      }
      const inside = `/proc/${pid}/root`;
      assert.deepEqual(names(`${inside}/proc`), ["cpuinfo", "self"]);
      assert.deepEqual(
        ["/etc", "/bin", "/sys", "/dev/null"].filter((path) =>
          exists(`${inside}${path}`)
        ),
        [],
      );
      for (const line of proc(pid, "mountinfo").trim().split("\n")) {
        const [, , , , place, options] = line.split(" ");
        const may = place === "/" || place === "/proc/self" ? "rw" : "ro";
        assert.equal(options!.split(",")[0], may, line);
      }
      const fds = names(`/proc/${pid}/fd`).flatMap((fd) => {
        try {
          return [Deno.readLinkSync(`/proc/${pid}/fd/${fd}`)];
        } catch {
          return []; // of a module that it has loaded meanwhile
        }
      });
      assert.ok(!fds.includes("/etc/passwd"), fds.join());

      Deno.writeFileSync(`${root}/kernel`, ECHOES);
      const machine = { vcpu_count: 1, mem_size_mib: 16 };
      await client.done("PUT", "/machine-config", machine);
      const source = { kernel_image_path: "/kernel", boot_args: "" };
      await client.done("PUT", "/boot-source", source);
      const start = { action_type: "InstanceStart" };
      await client.done("PUT", "/actions", start);
      await jailed.until(() => jailed.stdout.includes("hi\n"), "hi");
      await client.done("PATCH", "/vm", { state: "Paused" });
      const files = { snapshot_path: "state", mem_file_path: "/memory" };
      await client.done("PUT", "/snapshot/create", files);
    }
    // In a PID namespace, as a daemon.
    const second = cgroup(2, `${id}-b`);
    await using other = new Jailed({
      ...{ id: `${id}-b`, uid: UID + 1, gid: GID + 1, base: jailed.base },
      args: ["--daemonize", "--new-pid-ns", ...second?.args ?? []],
    });
    assert.equal(await other.end(), 0, other.stderr);
    assert.deepEqual([other.stdout, other.stderr], ["", ""]);
    const pid = Number(read(`${other.root}/firecracker.pid`));
    try {
      assert.match(status(pid).NSpid ?? "", /\t1$/);
      const [, , , , , session] = proc(pid, "stat").split(" ");
      assert.equal(session, `${pid}`);
      for (const fd of [0, 1, 2]) {
        assert.equal(Deno.readLinkSync(`/proc/${pid}/fd/${fd}`), "/dev/null");
      }
      if (second !== undefined) {
        assert.equal(read(second.file).trim(), second.value);
      }
      using client = await other.client();
      for (const name of ["state", "memory"]) {
        Deno.renameSync(`${root}/${name}`, `${other.root}/${name}`);
        Deno.chownSync(`${other.root}/${name}`, UID + 1, GID + 1);
      }
      await client.done("PUT", "/snapshot/load", {
        snapshot_path: "/state",
        mem_backend: { backend_type: "File", backend_path: "memory" },
        resume_vm: true,
      });
      const { body } = await client.ask("GET", "/");
      assert.equal(JSON.parse(body).state, "Running");
    } finally {
      Deno.kill(pid, "SIGKILL");
    }
    await until(() => !exists(`/proc/${pid}`), "the end of the daemon");
    jailed.child.kill("SIGTERM");
    assert.equal(await jailed.end(), "SIGTERM");
    for (const one of [limits, second]) {
      if (one !== undefined) await removeCgroup(one.folder);
    }
  },
}));

Deno.test(needing([ROOT], {
  name:
    "jailer: whatever is wrong is a line on standard error and exit 1, and nothing is left",
  async fn() {
    const base = Deno.makeTempDirSync({ dir: "/srv", prefix: "vireo-test-" });
    const paths = (folder: string): string[] =>
      names(folder).flatMap((name) => {
        const path = `${folder}/${name}`;
        return Deno.lstatSync(path).isDirectory ? [path, ...paths(path)] : path;
      });
    try {
      const jail = `${base}/firecracker`;
      const file = (path: string) => {
        const folder = path.slice(0, path.lastIndexOf("/"));
        Deno.mkdirSync(folder, { recursive: true });
        Deno.writeTextFileSync(path, "");
      };
      file(`${jail}/used/root/firecracker.pid`);
      file(`${jail}/device/root/dev/kvm`);
      Deno.mkdirSync(`${jail}/link/root`, { recursive: true });
      Deno.symlinkSync("/etc", `${jail}/link/root/dev`);
      Deno.mkdirSync(`${jail}/copy/root`, { recursive: true });
      Deno.symlinkSync("/dev/null", `${jail}/copy/root/firecracker`);
      const before = paths(base);
      const rows: [RegExp, string, string[]][] = [
        [
          /^Failed to open file \/firecracker.pid: File exists \(os error 17\)$/,
          "used",
          [],
        ],
        [
          /^Failed to create \/dev\/kvm via mknod inside the jail: File exists \(os error 17\)$/,
          "device",
          [],
        ],
        [/\/link\/root\/dev is not a directory$/, "link", []],
        [/\/copy\/root\/firecracker is not a file$/, "copy", []],
        [
          /^Failed to open file \/none: No such file or directory \(os error 2\)$/,
          "a",
          ["--netns", "/none"],
        ],
        [
          /^Failed to join network namespace: netns: Invalid argument \(os error 22\)$/,
          "b",
          ["--netns", "/etc/passwd"],
        ],
        [/no-file=9 is too few for Vireo/, "c", [
          "--resource-limit",
          "no-file=9",
        ]],
        [/^Controller nonsense is unavailable$|^Hierarchy not found: /, "d", [
          "--cgroup",
          "nonsense.x=1",
        ]],
        [/^Failed to open file \/none: /, "e", [
          "--daemonize",
          "--netns",
          "/none",
        ]],
        [/^Failed to open file \/none: /, "f", [
          "--new-pid-ns",
          "--netns",
          "/none",
        ]],
      ];
      const v1 = cgroup(1, "g");
      if (v1 !== undefined) {
        const args = v1.args.map((word) => word.replace(/=\d+$/, "=x"));
        rows.push([/^Failed to write to \/\S+: Invalid argument /, "g", args]);
      }
      await Promise.all(rows.map(async ([text, id, args]) => {
        await using jailed = new Jailed({ base, id, args });
        assert.equal(await jailed.end(), 1, id);
        assert.match(jailed.stderr.slice(0, -1), text);
        assert.match(jailed.stderr, /^[^\n]+\n$/);
        assert.equal(jailed.stdout, "");
      }));
      assert.deepEqual(paths(base), before);
      if (v1 !== undefined) assert.ok(!exists(v1.folder));
      for (
        const [text, options] of [
          [/^Failed to canonicalize path \/none: No such file/, {
            execFile: "/none",
          }],
          [/^\/etc is not a file$/, { execFile: "/etc" }],
          [/must contain "firecracker": passwd$/, { execFile: "/etc/passwd" }],
          [/^Failed to canonicalize path \/srv\/none: No such/, {
            base: "/srv/none",
          }],
          [/is not a directory$/, { base: "/etc/passwd" }],
        ] as const
      ) {
        await using jailed = new Jailed({ base, ...options });
        assert.equal(await jailed.end(), 1);
        assert.match(jailed.stderr.slice(0, -1), text);
      }
    } finally {
      Deno.removeSync(base, { recursive: true });
    }
  },
}));

Deno.test(needing([ROOT, "busybox"], {
  name: "jailer: another program than Vireo's needs nothing but itself",
  async fn() {
    const folder = Deno.makeTempDirSync({ dir: "/srv", prefix: "vireo-test-" });
    try {
      const execFile = `${folder}/busybox-firecracker`;
      const { stdout } = new Deno.Command("sh", {
        args: ["-c", "command -v busybox"],
      }).outputSync();
      const busybox = new TextDecoder().decode(stdout).trim();
      Deno.copyFileSync(busybox, execFile);
      await using jailed = new Jailed({ execFile, uid: UID, gid: GID });
      // It takes --id for the applet's name.
      assert.equal(await jailed.end(), 127);
      assert.match(jailed.stderr, /^--id: applet not found$/m);
      assert.deepEqual(names(jailed.root), [
        ...["busybox-firecracker", "busybox-firecracker.pid", "dev", "run"],
      ]);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));

Deno.test("jailer: its version and help are on standard output", async () => {
  const jailer = new URL("../bin/jailer", import.meta.url).pathname;
  const deno = Deno.execPath();
  const bin = deno.slice(0, deno.lastIndexOf("/"));
  const env = { PATH: `${bin}:${Deno.env.get("PATH")}` };
  for (
    const [flag, text] of [
      ["--version", /^Jailer v\d+\.\d+\.\d+\S*\n\n$/],
      ["--help", /^Jailer v[^]*--exec-file <value>[^]* --new-pid-ns /],
    ] as const
  ) {
    const { code, stdout, stderr } = await new Deno.Command(jailer, {
      args: ["--nonsense", flag],
      env,
    }).output();
    assert.equal(code, 0);
    assert.match(new TextDecoder().decode(stdout), text);
    assert.equal(stderr.length, 0);
  }
});

Deno.test("jailer: all that the API loads is bound into a jail", async () => {
  const loaded = (await references()).filter(({ way }) => way !== "type");
  const reached = closure(
    "api/main.ts",
    loaded.map((one) => ({
      ...one,
      way: "import" as const,
    })),
  );
  assert.ok(reached.size > 200, `only ${reached.size}`);
  const missing = [...reached].filter((path) =>
    path !== "?" &&
    !SOURCES.some((name) => path === name || path.startsWith(`${name}/`))
  );
  assert.deepEqual(missing, []);
});
