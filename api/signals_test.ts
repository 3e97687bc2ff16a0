/** What programs see of the process: threads, who has connected, its end. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { exists } from "../ffi/file.ts";
import { HI } from "../vmm/testing/tiny_guest.ts";
import { ApiProcess } from "./testing/process.ts";

const SIGUSR1 = 10n, SIGTERM = 15n;

/** The names of its threads. */
function threads(process: ApiProcess): string[] {
  const folder = `/proc/${process.child.pid}/task`;
  return [...Deno.readDirSync(folder)].flatMap(({ name }) => {
    try {
      return [Deno.readTextFileSync(`${folder}/${name}/comm`).trim()];
    } catch {
      return []; // ended meanwhile
    }
  });
}

Deno.test(needing([KVM], {
  name:
    "bin/firecracker: vCPUs' threads have their names, the log says who has connected, the console goes to its file, and SIGXCPU ends it with its code",
  async fn() {
    await using process = new ApiProcess();
    const client = await process.client();
    for (
      const [path, body] of [
        ["/machine-config", { vcpu_count: 2, mem_size_mib: 16 }],
        ["/boot-source", {
          kernel_image_path: process.file("kernel", HI),
          boot_args: "",
        }],
        ["/serial", { serial_out_path: "console" }],
        ["/actions", { action_type: "InstanceStart" }],
      ] as const
    ) {
      const { status, body: text } = await client.ask("PUT", path, body);
      assert.equal(status, 204, text);
    }
    const console = `${process.folder}/console`;
    await process.until(
      () => exists(console) && Deno.readTextFileSync(console) === "hi\n",
      "hi",
    );
    const named = () => threads(process).filter((one) => /^fc_/.test(one));
    await process.until(() => named().length === 2, "two threads' names");
    assert.deepEqual(named().sort(), ["fc_vcpu 0", "fc_vcpu 1"]);
    await process.client(); // asks nothing
    await (await process.client()).ask("GET", "/");
    const peer = `Connection of user ${Deno.uid()}, process ${Deno.pid}.\n`;
    await process.until(
      () => process.stdout.split(peer).length - 1 === 3,
      "three connections in the log",
    );
    assert.doesNotMatch(process.stdout, /^hi$/m);
    process.child.kill("SIGXCPU");
    assert.equal(await process.end(), 154);
    assert.match(process.stdout, /exit_code=154$/m);
  },
}));

Deno.test("bin/firecracker: SIGUSR1 ends it, and opens no debugger, whether somebody has asked something or not; SIGXFSZ has its code", async () => {
  await using full = new ApiProcess();
  await (await full.client()).ask("GET", "/");
  full.child.kill("SIGXFSZ");
  assert.equal(await full.end(), 151);
  await using asked = new ApiProcess();
  await (await asked.client()).ask("GET", "/");
  await using idle = new ApiProcess();
  const settled = new Promise((done) => setTimeout(done, 1000));
  await Promise.all([idle.until(() => exists(idle.path), "a socket"), settled]);
  for (const process of [idle, asked]) {
    // Deno's handler is there for a while: whoever it is that gets it. It comes
    // with that of SIGTERM, where nobody has asked for another.
    const caught = (signal: bigint) => {
      const path = `/proc/${process.child.pid}/status`;
      const mask = /^SigCgt:\s*(\w+)$/m.exec(Deno.readTextFileSync(path))![1]!;
      return (BigInt(`0x${mask}`) >> signal - 1n & 1n) === 1n;
    };
    await process.until(
      () => caught(SIGTERM) && !caught(SIGUSR1),
      "SIGUSR1's own action",
    );
    process.child.kill("SIGUSR1");
    assert.equal(await process.end(), "SIGUSR1");
    assert.equal(process.stderr, "");
  }
});
