/** What watches a machine of the command line: `--metrics` and `--trace`. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { payloadPath } from "../images/payload/payload.ts";
import { vireo } from "../vmm/testing/command.ts";
import { Running } from "../vmm/testing/running.ts";
import { ECHOES, HI } from "../vmm/testing/tiny_guest.ts";

const AT = /^vireo: metrics at (\S+)$/;

/** A machine with a metrics page, and where that is. */
async function measured(
  place: string,
  kernel = ECHOES,
): Promise<{ running: Running; at: string }> {
  const running = new Running({ kernel, args: ["--metrics", place] });
  await running.says(AT);
  const line = running.lines.find((line) => AT.test(line))!;
  await running.hi();
  return { running, at: AT.exec(line)![1]! };
}

async function status(url: string, init: RequestInit): Promise<number> {
  const response = await fetch(url, init);
  await response.body?.cancel();
  return response.status;
}

async function refuses(pattern: RegExp, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await vireo(["boot", ...args]);
  assert.match(stderr, pattern);
  assert.deepEqual([code, stdout], [1, ""], stderr);
  assert.equal(stderr.split("\n").length, 2, stderr);
}

Deno.test(needing([KVM], {
  name: "--metrics: Prometheus' text, of the same numbers, and nothing else",
  async fn() {
    const { running, at } = await measured("0", HI);
    await using _running = running;
    const response = await fetch(at);
    assert.match(response.headers.get("content-type")!, /version=0\.0\.4/);
    const text = await response.text();
    assert.match(text, /^vireo_guest_memory_bytes 16777216$/m);
    // "hi" and a newline: three bytes to the serial port.
    assert.match(text, /^vireo_vcpu_exits_total\{vcpu="0",reason="io"\} 3$/m);
    assert.match(text, /^# TYPE vireo_request_duration_seconds histogram$/m);
    assert.equal(await status(at, { method: "POST", body: "x" }), 405);
    assert.equal(await status(new URL("/", at).href, {}), 404);
    // A page of the web whose name leads here (DNS rebinding).
    const { hostname, port } = new URL(at);
    using stranger = await Deno.connect({ hostname, port: Number(port) });
    const ask = "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    await stranger.write(new TextEncoder().encode(ask));
    const bytes = new Uint8Array(1024);
    const count = await stranger.read(bytes);
    const answer = new TextDecoder().decode(bytes.subarray(0, count!));
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.doesNotMatch(answer, /vireo_/);

    // Visitors that never read, and too many: the machine is untouched.
    using visitors = new DisposableStack();
    for (let i = 0; i < 200; i++) {
      visitors.use(await Deno.connect({ hostname, port: Number(port) }));
    }
    assert.match(await (await fetch(at)).text(), /^vireo_vcpu_exits_total/m);

    await refuses(
      /^vireo: --metrics 127\.0\.0\.1:\d+: Address already in use/,
      ...[`${running.folder}/kernel`, "--metrics", `${hostname}:${port}`],
    );
    await running.endBy("SIGTERM");
    await assert.rejects(fetch(at));
  },
}));

Deno.test(needing([KVM], {
  name: "--metrics: at a path of its own, which goes with the machine",
  async fn() {
    const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    try {
      const path = `${folder}/metrics.sock`;
      const { running, at } = await measured(`unix:${path}`);
      await using _running = running;
      assert.equal(at, path);
      assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
      using client = Deno.createHttpClient({
        proxy: { transport: "unix", path },
      });
      const response = await fetch("http://vireo/metrics", { client });
      assert.match(await response.text(), /^vireo_vcpu_exits_total/m);
      await refuses(
        /^vireo: --metrics unix:\S+: \S+: is there already$/m,
        ...[`${running.folder}/kernel`, "--metrics", `unix:${path}`],
      );
      // Killed, it leaves nothing either.
      running.child.kill("SIGKILL");
      await running.end();
      const gone = () => Deno.readDirSync(folder).toArray().length === 0;
      await until(gone, "the socket to go");
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));

Deno.test("--metrics: what is no place, or not this host's own", async () => {
  await refuses(
    /--metrics 0\.0\.0\.0:1: .*only with --public/,
    "--metrics",
    "0.0.0.0:1",
  );
  await refuses(
    /--metrics \[::\]:1: .*only with --public/,
    "--metrics",
    "[::]:1",
  );
  await refuses(/--metrics x: not of the form \[HOST:\]PORT/, "--metrics", "x");
  await refuses(/--metrics 65536: not of the form/, "--metrics", "65536");
  await refuses(/"1\.2\.3" is no address/, "--metrics", "1.2.3:4");
  await refuses(/"example\.org" is no address/, "--metrics", "example.org:4");
  await refuses(/a path is missing/, "--metrics", "unix:");
  await refuses(
    /a socket's path has at most/,
    "--metrics",
    `unix:/${"x".repeat(200)}`,
  );
  await refuses(/--public: of what/, "--public");
});

Deno.test(needing([KVM], {
  name: "--trace: a boot as a file, and what took its time as a table",
  async fn() {
    const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    try {
      const [path, disk] = [`${folder}/t.json`, `${folder}/d.img`];
      Deno.writeFileSync(disk, new Uint8Array(1 << 20));
      const boot = [
        ...["boot", payloadPath.pathname, "--disk", disk],
        ...["--cmdline", "bench=blk-randread ms=50 wait=irq"],
      ];
      const { code, stdout } = await vireo([...boot, "--trace", path]);
      assert.equal(code, 0);
      const ops = Number(/ ops=(\d+) /.exec(stdout)![1]);
      JSON.parse(Deno.readTextFileSync(path));
      const summary = await vireo(["trace", "summary", path]);
      const seen = /^vireo-1 read +(\d+) /m.exec(summary.stdout);
      assert.ok(seen && Number(seen[1]) >= ops, summary.stdout);
      assert.match(summary.stdout, /^serial THR +\d+ /m);
      const json = await vireo(["trace", "summary", path, "--json"]);
      assert.equal(JSON.parse(json.stdout).lost, 0);

      await refuses(
        /^vireo: trace: no device "x"; there are vireo-1$/m,
        ...[...boot.slice(1), "--trace", `${path},device=x`],
      );
      await refuses(
        /--trace \S+: is there, and is no trace$/m,
        ...[...boot.slice(1), "--trace", disk],
      );
      await refuses(/--trace f,exits: .*"exit"/, "--trace", "f,exits");
      const none = await vireo(["trace", "summary", disk]);
      assert.match(none.stderr, /^vireo: \S+: is no trace of Vireo's\n$/);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));
