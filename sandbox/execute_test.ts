/** Programs beside this process. */
import assert from "node:assert/strict";
import { libc } from "../ffi/libc.ts";
import { needing, root } from "../ffi/testing/needs.ts";
import { startFirst } from "./execute.ts";

Deno.test(needing([root("makes a PID namespace")], {
  name: "jailer: who has begun the first process of a namespace begins threads",
  async fn() {
    const file = Deno.makeTempFileSync();
    try {
      const shell = ["sh", "-c", `echo $$ > ${file}`];
      const pid = startFirst("/bin/sh", shell);
      assert.equal(libc.waitpid(pid, new Uint8Array(4), 0), pid);
      assert.equal(Deno.readTextFileSync(file), "1\n");
      const worker = new Worker("data:text/javascript,postMessage('begun')", {
        type: "module",
      });
      const { data } = await new Promise<MessageEvent>((resolve) => {
        worker.onmessage = resolve;
      });
      worker.terminate();
      assert.equal(data, "begun");
    } finally {
      Deno.removeSync(file);
    }
  },
}));
