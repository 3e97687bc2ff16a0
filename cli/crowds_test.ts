/** What watches and debugs a machine, and too many who come to see. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { eventsOf, Visitor } from "../monitor/page/testing/visitor.ts";
import { vireo } from "../vmm/testing/command.ts";
import { Running } from "../vmm/testing/running.ts";
import { TICKS } from "../vmm/testing/tiny_guest.ts";

const WAVES = 10;
const WAVE = 100;
const PAGE = /^vireo: live page at (http:\S+)$/;
const METRICS = /^vireo: metrics at (http:\S+)$/;
const GDB = /^vireo: gdb: target remote (\S+)$/;

type Hello = Uint8Array<ArrayBuffer> | undefined;

/** A thousand connections; each says `hello`, and reads nothing. */
async function crowd(port: number, hello?: Hello): Promise<void> {
  for (let wave = 0; wave < WAVES; wave++) {
    using stack = new DisposableStack();
    await Promise.all(Array.from({ length: WAVE }, async () => {
      const one = await Deno.connect({ hostname: "127.0.0.1", port });
      stack.use(one);
      if (hello) await one.write(hello).catch(() => {}); // it was closed
    }));
  }
}

Deno.test(needing([KVM], {
  name:
    "--monitor, --metrics, --gdb: 1,000 connections to each, of deaf clients, and the guest goes on",
  async fn() {
    await using running = new Running({
      kernel: TICKS,
      args: ["--monitor=0", "--metrics=0", "--gdb=0"],
    });
    const places = [PAGE, METRICS, GDB];
    for (const place of places) await running.says(place);
    const [page, metrics, gdb] = places.map((place) =>
      place.exec(running.lines.find((line) => place.test(line))!)![1]!
    ) as [string, string, string];
    const ports = [page, metrics, `http://${gdb}`]
      .map((url) => Number(new URL(url).port));
    const encoder = new TextEncoder();
    const goesOn = async () => {
      const { length } = running.stdout;
      await running.until(() => running.stdout.length > length, "more output");
    };
    await goesOn();
    const get = (port: number, path: string) =>
      encoder.encode(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`,
      );
    const [pagePort, metricsPort, gdbPort] = ports as [number, number, number];
    await crowd(pagePort, get(pagePort, "/page.js"));
    await goesOn();
    await crowd(metricsPort, get(metricsPort, "/metrics"));
    await goesOn();
    await crowd(gdbPort);
    await goesOn();
    // A debugger that asks and never reads, and then is gone.
    {
      using deaf = await Deno.connect({ hostname: "127.0.0.1", port: gdbPort });
      const ask = encoder.encode("+$qXfer:features:read:target.xml:0,4000#");
      await deaf.write(ask);
    }
    await goesOn();

    // All of them are there for who comes next.
    const visitor = new Visitor(page);
    await visitor.enter();
    const seen = eventsOf(await visitor.get("/events"));
    await seen.until(/"state":"running"/);
    assert.match(
      await (await fetch(metrics)).text(),
      /^vireo_vcpu_exits_total/m,
    );

    // And for nobody else.
    const { host } = new URL(page);
    for (
      const [option, at] of [
        ["--monitor", host],
        ["--metrics", new URL(metrics).host],
        ["--gdb", gdb],
      ]
    ) {
      const { code, stdout, stderr } = await vireo([
        ...["boot", `${running.folder}/kernel`, "--memory=16M"],
        ...[option!, at!],
      ]);
      assert.match(stderr, /^vireo: .*in use/, `${option} ${stderr}`);
      assert.deepEqual(
        [code, stdout, stderr.split("\n").length],
        [1, "", 2],
        stderr,
      );
    }
    assert.deepEqual(
      running.lines.filter((line) => !places.some((one) => one.test(line))),
      [],
    );
    await running.endBy("SIGTERM");
  },
}));
