/** What `--crash-dir` keeps, in the real gdb. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { vireo } from "../vmm/testing/command.ts";
import { Running } from "../vmm/testing/running.ts";
import { says } from "../vmm/testing/tiny_guest.ts";

const UD2 = [0x0f, 0x0b]; // without an IDT, a triple fault

Deno.test(needing([KVM, "gdb"], {
  name:
    "--crash-dir: gdb opens the snapshot and the core of a triple fault, where it was",
  async fn() {
    const folder = Deno.makeTempDirSync();
    try {
      const kernel = `${folder}/kernel`;
      Deno.writeFileSync(kernel, says("bye\n", UD2));
      Deno.mkdirSync(`${folder}/crashes`);
      await vireo([
        ...["boot", kernel, "--memory=16M"],
        ...["--crash-dir", `${folder}/crashes,core,snapshot`],
      ]);
      const [crash] = [...Deno.readDirSync(`${folder}/crashes`)];
      const path = `${folder}/crashes/${crash!.name}`;
      const [rip] = / rip +([0-9a-f]+) /
        .exec(Deno.readTextFileSync(`${path}/state`))!.slice(1);
      const where = new RegExp(`^rip +0x${rip!.replace(/^0+/, "")}\\b`, "m");
      const looks = ["info registers rip", "x/i $pc"];

      const socket = `${folder}/gdb`;
      await using running = new Running({
        kernel: new Uint8Array(),
        words: ["restore", `${path}/snapshot`, "--gdb", `unix:${socket},wait`],
      });
      await running.says(/^vireo: gdb: target remote /);
      const live = await gdb(`target remote ${socket}`, ...looks, "kill");
      assert.match(live, where);
      assert.match(live, /^=> 0x[0-9a-f]+:\tud2/m);
      await running.end();

      const dead = await gdb(`core-file ${path}/core`, ...looks);
      assert.match(dead, where);
      assert.match(dead, /^=> 0x[0-9a-f]+:\tud2/m);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));

async function gdb(...commands: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("gdb", {
    args: [
      ...["-nx", "-q", "-batch"],
      ...commands.flatMap((command) => ["-ex", command]),
    ],
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return text(stdout) + text(stderr);
}
