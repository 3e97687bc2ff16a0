/** An example of docs/lab.md: Linux routes between switches; half a minute. */
import assert from "node:assert/strict";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { measure } from "./router.ts";

Deno.test(needing([KVM, LINUX], {
  name: "lab: three Linux machines, a router, and a link that delays and loses",
  async fn() {
    const said = await measure(async (networks) => {
      const linux = await LinuxGuest.boot({
        "network-interfaces": networks,
        console: { agent: true },
      });
      return linux.test.machine;
    });
    assert.match(said, /3 packets received, 0% packet loss/);
    assert.match(said, /ttl=63/, "through a router");
    const [, least] = /min\/avg\/max = ([\d.]+)\//.exec(said) ?? [];
    assert.ok(Number(least) >= 40, `twice 20 ms: ${said}`);
    const [, lost] = /^20 .*, (\d+)% packet loss/m.exec(said) ?? [];
    assert.ok(Number(lost) > 0 && Number(lost) < 100, said);
    const [here, there] = said.match(/^[0-9a-f]{64} {2}-$/gm) ?? [];
    assert.ok(here !== undefined && here === there, `whole by TCP: ${said}`);
    assert.match(said, /^real\t/m, "and how long it took");
  },
}));
