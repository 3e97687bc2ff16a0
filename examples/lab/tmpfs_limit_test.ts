/** An example of docs/lab.md: a test of a kernel, in Linux. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { LINUX } from "../../images/testing/prepared.ts";

Deno.test(needing([KVM, LINUX], {
  name: "lab: a test of a kernel, by commands in it",
  async fn() {
    const file = new URL("./tmpfs_limit.ts", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", file],
      env: { NO_COLOR: "1" },
    }).output();
    const said = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    // A slow one is told of between its name and its end.
    assert.match(said.join("\n"), /takes no more \.\.\.[^]*ok \| 1 passed/);
    assert.equal(code, 0);
  },
}));
