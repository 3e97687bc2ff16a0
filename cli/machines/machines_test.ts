/** Machines of other processes: seen, stopped, and saved. */
import assert from "node:assert/strict";
import { KVM, needing, root } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { vireo } from "../../vmm/testing/command.ts";
import { ECHOES, OBEYS, TICKS } from "../../vmm/testing/tiny_guest.ts";
import { Running } from "../../vmm/testing/running.ts";

/** A name that no other test's machine has. */
let names = 0;
const newName = () => `test-${Deno.pid}-${++names}`;

/** Its lines of `vireo ps`. */
async function listed(name: string): Promise<string[]> {
  const { code, stdout, stderr } = await vireo(["ps"]);
  assert.deepEqual([code, stderr], [0, ""]);
  const [head, ...rows] = stdout.trimEnd().split("\n");
  assert.match(head!, /^PID +NAME +STATE +CPUS +MEMORY +UPTIME +COMMAND$/);
  return rows.filter((row) => row.split(/ +/)[1] === name);
}

async function named(kernel: Uint8Array, name: string): Promise<Running> {
  const running = new Running({ kernel, args: ["--name", name] });
  const seen = async () => (await listed(name)).length === 1 || !running.alive;
  await until(seen, name, () => running.lines);
  return running;
}

/** Exit status 1, nothing printed, and one line that says so. */
async function refuses(pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await vireo(args);
  assert.match(stderr, pattern);
  assert.deepEqual([code, stdout], [1, ""], stderr);
  assert.equal(stderr.split("\n").length, 2, stderr);
}

async function does(...args: string[]): Promise<void> {
  assert.deepEqual(await vireo(args), { code: 0, stdout: "", stderr: "" });
}

Deno.test(needing([KVM], {
  name: "vireo ps, pause, resume, snapshot create: by name and by PID",
  async fn() {
    const name = newName();
    await using running = await named(TICKS, name);
    const { pid } = running.child;
    const row = async () => (await listed(name))[0]!;
    assert.match(
      await row(),
      new RegExp(
        `^${pid} +${name} +running +1 +16 MiB +[\\dm]+s +vireo boot /`,
      ),
    );
    await does("pause", name);
    assert.match(await row(), / paused /);
    const before = running.stdout;
    await does("pause", `${pid}`); // it stays so
    await does("snapshot", "create", name, `${running.folder}/saved`);
    assert.match(await row(), / paused /);
    const { stdout } = await vireo(["ps", "--json"]);
    const [found] = (JSON.parse(stdout) as { name?: string }[])
      .filter((machine) => machine.name === name);
    assert.deepEqual({ ...found, uptime: 0, command: [] }, {
      ...{ id: `${pid}`, pid, name, command: [], cpus: 1 },
      ...{ memory: 16 * 1024 * 1024, state: "paused", uptime: 0 },
    });
    assert.equal(running.stdout, before);
    const core = `${running.folder}/core`;
    await does("dump", name, core);
    assert.ok(Deno.statSync(core).size > 16 << 20);
    assert.match(await row(), / paused /);
    await refuses(/^vireo: machine .*: core ".*": exists/, "dump", name, core);
    await does("resume", `${pid}`);
    await running.until(() => running.stdout !== before, "more output");
    assert.match(await row(), / running /);
    const whole = await vireo([
      "snapshot",
      "verify",
      `${running.folder}/saved`,
    ]);
    assert.equal(whole.code, 0, whole.stderr);
    await refuses(/only a guest with ACPI has one/, "power-button", name);
    await refuses(
      /^vireo: machine .*: snapshot ".*": .*\n$/,
      ...["snapshot", "create", name, `${running.folder}/no/such`],
    );
    await running.endBy("SIGTERM");
    assert.deepEqual(await listed(name), []);
    await refuses(/: no such machine; "vireo ps" lists them/, "pause", name);
  },
}));

Deno.test(needing([KVM], {
  name: "vireo power-button: a guest that obeys powers off",
  async fn() {
    const name = newName();
    await using running = await named(OBEYS, name);
    await running.until(() => running.stdout === "P", "a guest that waits");
    await does("power-button", name);
    const { code, signal } = await running.end();
    assert.deepEqual([code, signal], [0, null]);
    assert.deepEqual(running.lines, []);
    await refuses(/: no such machine; "vireo ps" lists them/, "pause", name);
  },
}));

Deno.test(needing([KVM], {
  name: "vireo ps: two of one name, one killed, one stopped, one unseen",
  async fn() {
    const name = newName();
    await using first = await named(ECHOES, name);
    await using second = new Running({
      kernel: ECHOES,
      args: ["--name", name],
    });
    await until(async () => (await listed(name)).length === 2, "both");
    const ids = [first, second].map(({ child }) => `${child.pid}`);
    await refuses(/: 2 machines: \d+, \d+$/m, "pause", name);
    await does("pause", ids[1]!);

    await using unseen = new Running({
      kernel: ECHOES,
      args: ["--no-control"],
    });
    await unseen.hi();

    first.child.kill("SIGSTOP");
    const { stdout } = await vireo(["ps"]);
    assert.match(stdout, new RegExp(`^${ids[0]} +- +no answer`, "m"));
    assert.doesNotMatch(stdout, new RegExp(`^${unseen.child.pid} `, "m"));
    first.child.kill("SIGKILL");
    await first.end();
    assert.deepEqual((await listed(name)).length, 1);
    await does("resume", name);
  },
}));

Deno.test(needing([KVM, root("mounts over the runtime folder"), "unshare"], {
  name: "a machine runs where it can have no control socket, and says so",
  async fn() {
    const mounts = "mkdir -p /run/vireo && mount -t tmpfs -o mode=0755 none " +
      '/run/vireo && exec "$@"';
    await using running = new Running({
      kernel: ECHOES,
      through: ["unshare", "-m", "sh", "-c", mounts, "sh"],
    });
    await running.hi();
    await running.says(
      /^vireo: no control socket, .*"\/run\/vireo" is no folder that only you/,
    );
    assert.equal(running.lines.length, 1);
    await running.endBy("SIGTERM");
  },
}));

Deno.test("control options: what is no name, or can't be", async () => {
  for (const name of ["12", "1.5", "", "a b", "x".repeat(65), "ä", "a/b"]) {
    await refuses(
      /^vireo: --name ".*": a machine's has 1 to 64 letters/,
      ...["boot", "--name", name],
    );
  }
  await refuses(/exclude each other/, "boot", "--name", "x", "--no-control");
  await refuses(/: no machine listens here/, "pause", "/no/such.sock");
  await refuses(/missing required argument 'machine'/, "resume");
  await refuses(/takes MACHINE FOLDER/, "snapshot", "create", "x");
  await refuses(/did you mean "create"/, "snapshot", "creat", "x", "y");
});
