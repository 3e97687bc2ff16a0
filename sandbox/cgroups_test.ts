/** Cgroups, in folders that look like theirs. */
import assert from "node:assert/strict";
import { cgroupsOf, enterCgroup } from "./cgroups.ts";
import type { JailFlags } from "./flags.ts";

/** Folders in the place of hierarchies, and `/proc/mounts` that names them. */
class Hierarchies implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly mounts: string;

  constructor(lines: (folder: string) => string[]) {
    this.mounts = lines(this.folder).join("\n");
  }

  /** Files with what they say. */
  has(files: Record<string, string>): void {
    for (const [path, text] of Object.entries(files)) {
      const whole = `${this.folder}/${path}`;
      const folder = whole.slice(0, whole.lastIndexOf("/"));
      Deno.mkdirSync(folder, { recursive: true });
      Deno.writeTextFileSync(whole, text);
    }
  }

  says(path: string): string {
    return Deno.readTextFileSync(`${this.folder}/${path}`);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

const flags = (some: Partial<JailFlags>) =>
  ({ id: "vm", cgroupVersion: 1, cgroups: [], ...some }) as JailFlags;
const setting = (text: string) => {
  const [file, value] = text.split("=") as [string, string];
  return { file, value };
};

Deno.test("jailer's cgroups: version 1 has a hierarchy for each controller, whose files start as the one above", () => {
  using host = new Hierarchies((folder) => [
    "proc /proc proc rw 0 0",
    `cgroup ${folder}/cpu\\054cpuacct cgroup rw,relatime,cpu,cpuacct 0 0`,
    `cgroup ${folder}/cpuset cgroup rw,cpuset 0 0`,
  ]);
  host.has({
    "cpuset/cpuset.mems": "0-1\n",
    "cpuset/a/cpuset.mems": "\n",
    "cpuset/a/vm/cpuset.mems": "\n",
    "cpuset/cgroup.procs": "",
    "cpuset/a/vm/cgroup.procs": "",
    "cpu,cpuacct/cpu.shares": "1024\n",
    "cpu,cpuacct/a/cpu.shares": "7\n",
    "cpu,cpuacct/a/vm/cpu.shares": "1024\n",
    "cpu,cpuacct/a/vm/cgroup.procs": "",
  });
  const cgroups = ["cpuset.mems=1", "cpu.shares=5"].map(setting);
  const found = cgroupsOf(
    flags({ cgroups, parentCgroup: "a" }),
    "firecracker",
    host.mounts,
  );
  assert.deepEqual(found.map(({ mount, path }) => [mount, path]), [
    [`${host.folder}/cpuset`, "a/vm"],
    [`${host.folder}/cpu,cpuacct`, "a/vm"],
  ]);
  using undo = new DisposableStack();
  for (const one of found) enterCgroup(one, undo);
  assert.equal(host.says("cpuset/a/cpuset.mems"), "0-1\n");
  assert.equal(host.says("cpuset/a/vm/cpuset.mems"), "1\n");
  assert.equal(host.says("cpu,cpuacct/a/cpu.shares"), "7\n");
  assert.equal(host.says("cpu,cpuacct/a/vm/cpu.shares"), "5\n");
  assert.equal(host.says("cpuset/a/vm/cgroup.procs"), "0\n");
  undo.move();
});

Deno.test("jailer's cgroups: version 2 passes controllers on from above, or is the parent itself", () => {
  using host = new Hierarchies((folder) => [
    `cgroup2 ${folder}/all cgroup2 rw 0 0`,
  ]);
  host.has({
    "all/cgroup.controllers": "cpu memory\n",
    "all/cgroup.subtree_control": "",
    "all/firecracker/cgroup.subtree_control": "",
    "all/firecracker/cgroup.procs": "",
    "all/firecracker/vm/cgroup.subtree_control": "",
    "all/firecracker/vm/memory.max": "max\n",
    "all/firecracker/vm/cgroup.procs": "",
  });
  const enter = (some: Partial<JailFlags>) => {
    using undo = new DisposableStack();
    const all = flags({ cgroupVersion: 2, ...some });
    for (const one of cgroupsOf(all, "firecracker", host.mounts)) {
      enterCgroup(one, undo);
    }
    undo.move();
  };
  enter({ cgroups: [setting("memory.max=5")] });
  assert.equal(host.says("all/cgroup.subtree_control"), "+memory\n");
  assert.equal(
    host.says("all/firecracker/cgroup.subtree_control"),
    "+memory\n",
  );
  assert.equal(host.says("all/firecracker/vm/cgroup.subtree_control"), "");
  assert.equal(host.says("all/firecracker/vm/memory.max"), "5\n");
  assert.equal(host.says("all/firecracker/vm/cgroup.procs"), "0\n");
  assert.equal(host.says("all/firecracker/cgroup.procs"), "");
  enter({});
  assert.equal(host.says("all/firecracker/cgroup.procs"), "");
  enter({ parentCgroup: "firecracker" });
  assert.equal(host.says("all/firecracker/cgroup.procs"), "0\n");
  assert.throws(() => enter({ cgroups: [setting("pids.max=5")] }), {
    message: "Controller pids is unavailable",
  });
});

Deno.test("jailer's cgroups: what a host doesn't have is named", () => {
  const cgroups = [setting("cpu.shares=5")];
  const missing = {
    message: "Hierarchy not found: No hierarchy found for this cgroup version.",
  };
  for (const cgroupVersion of [1, 2] as const) {
    const some = flags({ cgroups, cgroupVersion });
    assert.throws(
      () => cgroupsOf(some, "f", "proc /proc proc rw 0 0"),
      missing,
    );
  }
  const mounts = "cgroup /x cgroup rw,cpuset 0 0";
  assert.throws(() => cgroupsOf(flags({ cgroups }), "f", mounts), {
    message: "Controller cpu is unavailable",
  });
  assert.deepEqual(cgroupsOf(flags({}), "f", ""), []);
});
