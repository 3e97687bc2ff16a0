import assert from "node:assert/strict";
import { WorkFolder } from "./work_folder.ts";

Deno.test("work folder: it goes away with all that is in it", async () => {
  const parent = await Deno.makeTempDir();
  {
    await using folder = await WorkFolder.make(`${parent}/build`);
    await Deno.mkdir(`${folder.path}/a/b`, { recursive: true });
  }
  assert.deepEqual([...Deno.readDirSync(parent)], []);
  await Deno.remove(parent);
});

Deno.test("work folder: what a killed build left is ended and removed", async () => {
  const parent = await Deno.makeTempDir();
  const path = `${parent}/build`;
  const left = await WorkFolder.make(path);
  await Deno.writeTextFile(`${path}/half`, "made");
  const program = new Deno.Command("sleep", { args: ["60"], env: left.env })
    .spawn();
  const other = new Deno.Command("sleep", { args: ["60"] }).spawn();
  await using folder = await WorkFolder.make(path);
  assert.equal((await program.status).signal, "SIGKILL");
  assert.deepEqual([...Deno.readDirSync(path)], []);
  other.kill("SIGTERM");
  assert.equal((await other.status).signal, "SIGTERM", "not its business");
  await folder[Symbol.asyncDispose]();
  await Deno.remove(parent);
});

Deno.test("work folder: what is only being started is ended, too", async () => {
  const parent = await Deno.makeTempDir();
  const left = await WorkFolder.make(`${parent}/build`);
  // Within `execve`, a program has no environment for a moment.
  const program = new Deno.Command("sh", {
    args: ["-c", `read go; export TMPDIR=${left.path}; exec sleep 20`],
    clearEnv: true,
    stdin: "piped",
  }).spawn();
  while (Deno.readTextFileSync(`/proc/${program.pid}/cmdline`) === "") {
    await new Promise((done) => setTimeout(done, 1));
  }
  const ended = left[Symbol.asyncDispose]();
  const writer = program.stdin.getWriter();
  await writer.write(new TextEncoder().encode("\n"));
  await ended;
  assert.equal((await program.status).signal, "SIGKILL");
  await writer.close().catch(() => {});
  await Deno.remove(parent);
});
