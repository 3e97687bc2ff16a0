/** The live page of `vireo boot --monitor`, and who may not have it. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { eventsOf, Visitor } from "../monitor/page/testing/visitor.ts";
import { vireo } from "../vmm/testing/command.ts";
import { Running } from "../vmm/testing/running.ts";
import { COUNTS, ECHOES } from "../vmm/testing/tiny_guest.ts";

const PAGE = /^vireo: live page at (\S+)$/;

async function refuses(pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await vireo(["boot", ...args]);
  assert.match(stderr, pattern);
  assert.deepEqual([code, stdout], [1, ""], stderr);
  assert.equal(stderr.split("\n").length, 2, stderr);
}

/** A machine with a live page, and who may see that. */
async function shown(
  kernel: Uint8Array,
  ...args: string[]
): Promise<{ running: Running; visitor: Visitor; url: string }> {
  const running = new Running({ kernel, args });
  await running.says(PAGE);
  const url = PAGE.exec(running.lines.find((line) => PAGE.test(line))!)![1]!;
  const visitor = new Visitor(url);
  await visitor.enter();
  return { running, visitor, url };
}

Deno.test(needing([KVM], {
  name:
    "--monitor: numbers, the console, keys and buttons, to the machine's end",
  async fn() {
    const { running, visitor, url } = await shown(ECHOES, "--monitor");
    await using _running = running;
    await running.hi();
    const seen = eventsOf(await visitor.get("/events"));
    // "hi", in base64.
    await seen.until(/^event: console\ndata: aGk/m);
    await seen.until(/"vcpus":\[\{"exits":\{"io":\d+\}\}\]/);
    assert.equal((await visitor.post("/input", "typed")).status, 204);
    await running.until(() => running.stdout.includes("typed"), "typed");
    assert.equal((await visitor.post("/pause")).status, 204);
    await seen.until(/"state":"paused"/);
    assert.equal((await visitor.post("/resume")).status, 204);
    await seen.until(/"state":"paused"[^]*"state":"running"/);
    const { status, text } = await visitor.post("/power-button");
    assert.deepEqual([status, /ACPI/.test(text)], [409, true], text);

    const { host } = new URL(url);
    await refuses(
      new RegExp(`^vireo: --monitor ${host}: Address already in use`),
      ...[`${running.folder}/kernel`, "--monitor", host],
    );
    await running.endBy("SIGTERM");
    await seen.until(/^event: end$/m);
    await assert.rejects(fetch(url));
  },
}));

Deno.test(needing([KVM], {
  name:
    "--monitor: visitors that never read, and too many of them: the machine goes on",
  async fn() {
    const { running, visitor, url } = await shown(COUNTS, "--monitor", "0");
    await using _running = running;
    using visitors = new DisposableStack();
    const { hostname, port } = new URL(url);
    const ask = new TextEncoder().encode(
      `GET /events HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
        `Cookie: ${visitor.cookie}\r\n\r\n`,
    );
    for (let i = 0; i < 200; i++) {
      const one = visitors.use(
        await Deno.connect({ hostname, port: Number(port) }),
      );
      if (i < 8) await one.write(ask);
    }
    const seen = eventsOf(await visitor.get("/events"));
    await seen.until(/("state":"running"[^]*){3}/);
    const { length } = running.stdout;
    await running.until(() => running.stdout.length > length, "more output");
    await running.endBy("SIGTERM");
  },
}));

Deno.test(needing([KVM], {
  name:
    "--monitor: more visitors than descriptors: the page ends, the machine doesn't",
  async fn() {
    await using running = new Running({
      kernel: COUNTS,
      args: ["--monitor"],
      before: "ulimit -n 150",
    });
    await running.says(PAGE);
    const line = running.lines.find((line) => PAGE.test(line))!;
    const { hostname, port } = new URL(PAGE.exec(line)![1]!);
    await running.until(() => running.stdout !== "", "output");
    using visitors = new DisposableStack();
    const visit = async () => {
      for (let i = 0; i < 200; i++) {
        visitors.use(await Deno.connect({ hostname, port: Number(port) }));
      }
    };
    await visit().catch(() => {}); // refused, from some time on
    await running.says(/^vireo: the live page has ended: .*Too many open/);
    const { length } = running.stdout;
    await running.until(() => running.stdout.length > length, "more output");
    await running.endBy("SIGTERM");
  },
}));

Deno.test("--monitor: what is no place, or not this host's own", async () => {
  await refuses(
    /--monitor 0\.0\.0\.0:1: .*only with --public/,
    "--monitor",
    "0.0.0.0:1",
  );
  await refuses(
    /--monitor vmlinux: not of the form .* --monitor=0/,
    ...["--monitor", "vmlinux"],
  );
  await refuses(/--monitor unix:\/x: not of the form/, "--monitor", "unix:/x");
  await refuses(/--monitor 65536: not of the form/, "--monitor", "65536");
});
