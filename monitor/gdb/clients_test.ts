/** Whoever connects to a debugger's server, and however it goes. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import type { GdbAddress } from "../../vmm/introspection/gdb.ts";
import { TestMachine } from "../../vmm/testing/mod.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";
import { debugged, prints } from "../testing/debugged.ts";
import { GdbClient } from "./testing/gdb_client.ts";

function kvmTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

kvmTest(
  "gdb: whatever a client sends, or however it goes, the guest goes on",
  async () => {
    await using guest = await debugged(COUNTS, { tcp: true });
    const { test, target, log } = guest;
    test.machine.start();
    const encoder = new TextEncoder();
    const garbage = [
      "POST / HTTP/1.1\r\nHost: x\r\n\r\n$g#67",
      "\0\0\0\0",
      `$${"m".repeat(20_000)}#00`,
      "+++x",
    ];
    for (const bytes of garbage) {
      using client = await GdbClient.connect(target);
      await client.raw(encoder.encode(bytes));
      await client.closed();
      await prints(test);
    }
    // One that says nothing makes place for one that does.
    using silent = await GdbClient.connect(target);
    {
      using gdb = await GdbClient.connect(target);
      assert.equal(await gdb.ask("?"), "T02thread:1;");
      await silent.closed();
      // And one that is attached does not.
      using second = await GdbClient.connect(target);
      await second.closed();
      assert.equal(await gdb.ask("?"), "T02thread:1;");
      assert.match(log.join(), /another debugger is refused/);
      for (
        const packet of [
          ...[
            "",
            "q",
            "m",
            "m,",
            "mzz,1",
            "m1",
            "M0,4:00",
            "P",
            "Pzz",
            "G0",
            "Z",
          ],
          ...[
            "vCont",
            "vCont;q",
            "H",
            "Hgzzz",
            "qXfer:features:read",
            "qRcmd,0",
          ],
          ...["qXfer:features:read:x:0,1", "m0,ffffffff", "X0,ffff:", "\xff\0"],
          ...["bc", "!", "R00", "vFile:open:2f,0,0", "qThreadExtraInfo,9"],
        ]
      ) {
        assert.match(await gdb.ask(packet), /^(E.*|m.*|[0-9a-f]*)$/s, packet);
      }
      await gdb.ask("Z1,100006,1");
    } // gone without a word, with a breakpoint set
    await prints(test);
    await until(() => test.machine.state === "running", "running");
    using last = await GdbClient.connect(target);
    assert.equal(await last.ask("?"), "T02thread:1;");
    await last.send("vCont;c");
    await until(() => test.machine.state === "running", "running");
    assert.equal((await test.machine.stop()).reason, "stopped");
    assert.equal(await last.next(), "W00");
    await last.closed();
  },
);

kvmTest(
  "gdb: a machine that somebody else has paused stays so, unless it is let go",
  async () => {
    await using guest = await debugged();
    const { test, target } = guest;
    test.machine.start();
    await test.machine.pause();
    {
      using gdb = await GdbClient.connect(target);
      await gdb.ask("?");
      assert.equal(await gdb.ask("D"), "OK");
      await gdb.closed();
    }
    assert.equal(test.machine.state, "paused");
    using gdb = await GdbClient.connect(target);
    await gdb.ask("?");
    await gdb.send("vCont;c");
    await prints(test);
    await gdb.raw(Uint8Array.of(3));
    assert.equal(await gdb.next(), "T02thread:1;");
    await gdb.send("k");
    await gdb.closed();
    assert.equal((await test.machine.wait()).reason, "stopped");
  },
);

kvmTest(
  "gdb: where nobody can listen, it is a line; one server is enough",
  async () => {
    await using guest = await debugged(COUNTS, { tcp: true });
    const { test: { machine }, target } = guest;
    assert.equal((await machine.gdb()).target, target);
    const port = Number(target.split(":")[1]);
    const address = { hostname: "127.0.0.1", port };
    await assert.rejects(machine.gdb({ address }), {
      name: "VireoError",
      message: `gdb: can attach already, at ${target}`,
    });
    await using other = await TestMachine.create({
      "boot-source": { kernel_image_path: COUNTS },
      "machine-config": { mem_size_mib: 16 },
    });
    const refuses = (address: GdbAddress, message: RegExp) =>
      assert.rejects(other.machine.gdb({ address }), {
        name: "VireoError",
        message,
      });
    await refuses(address, /^gdb 127\.0\.0\.1:\d+: the port is in use$/);
    const path = Deno.makeTempFileSync();
    await refuses({ path }, /^gdb ".*": exists already; remove it if no/);
    Deno.removeSync(path);
    await refuses(
      { path: `${path}/no` },
      /^gdb ".*": No such file or directory/,
    );
    await refuses(
      { path: "x".repeat(108) },
      /a socket's path has 1 to 107 bytes/,
    );
    await refuses({ path: "" }, /a socket's path has 1 to 107 bytes/);
  },
);

kvmTest(
  "gdb: a guest that ends while it is stopped or stepped takes nobody with it",
  async () => {
    for (const last of ["vCont;c", "vCont;s:1", "?"]) {
      await using guest = await debugged();
      const { test, target } = guest;
      test.machine.start();
      await prints(test);
      using gdb = await GdbClient.connect(target);
      await gdb.ask("Z1,100006,1");
      await gdb.ask("vCont;c");
      await gdb.send(last);
      assert.equal((await test.machine.stop()).reason, "stopped");
      await gdb.closed();
    }
  },
);
