/** What a shell prints before it ends, and its terminal has yet to send. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { LinuxGuest } from "./testing/linux.ts";

/** Until the guest, which the host told to send nothing, does nothing more. */
async function quiet({ machine }: LinuxGuest["test"]): Promise<void> {
  for (let exits = -1; machine.exits !== exits;) {
    exits = machine.exits;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

for (const [how, end] of [["ends", "exit"], ["is killed", "kill -9 $$"]]) {
  Deno.test(needing([KVM, LINUX], {
    name: `Linux: the last output arrives, though the shell ${how} first`,
    async fn() {
      await using guest = await LinuxGuest.boot({});
      const { test } = guest;
      guest.type(`echo ready; read a; echo "$a" is last; ${end}\n`);
      await test.printed("ready\r\n");
      const XOFF = "\x13", XON = "\x11";
      guest.type(`${XOFF}this\n`);
      await quiet(test);
      guest.type(XON);
      assert.equal((await test.machine.wait()).reason, "power-off");
      assert.match(test.output, /^this is last\r\n/m);
    },
  }));
}
