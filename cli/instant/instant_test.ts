/**
 * What can become of the cache of machines that asked for their orders: by the
 * payload, which asks as the prepared init does, and boots in no time.
 */
import assert from "node:assert/strict";
import { exists } from "../../ffi/file.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { payloadPath } from "../../images/payload/payload.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { InstantCache } from "../testing/instant_cache.ts";

const PAYLOAD = [payloadPath.pathname, "--root", "busybox", "--instant"];
/** What it ends with. */
const STATUS = 9;

/** Options for a boot of it that prints `said`; more words for its kernel. */
function saying(said: string, words = ""): string[] {
  const cmdline = ["--cmdline", `orders=${STATUS} ${words}`];
  return [...PAYLOAD, ...cmdline, "--exec", said];
}

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: what can become of the cache",
  async fn(t) {
    using cache = await InstantCache.make();
    /** Boots; returns what it said on standard error. */
    const boot = async (...words: string[]) => {
      const { code, stdout, stderr } = await cache.boot([
        ...saying("said"),
        ...words,
      ]);
      assert.deepEqual([code, stdout], [STATUS, "said"], stderr);
      return stderr;
    };
    /** The kernel's first line. */
    const BEGINNING = /^vireo payload: /m;
    /** Vireo's own lines, but for what it says of such hosts as this may be. */
    const own = (said: string) =>
      said.split("\n").filter((line) =>
        line.startsWith("vireo: ") && !line.startsWith("vireo: this host")
      );
    /** Works for two seconds before it asks. */
    const slow = saying("wait", "bench=pio-read ms=2000");

    await t.step("SIGINT in the middle leaves nothing half-made", async () => {
      const after = (ms: number) => new Promise((done) => setTimeout(done, ms));
      const saves = () => until(() => cache.names.length > 0, "a machine");
      const moments = [
        ...[() => after(300), () => after(1500)].map((when) => [slow, when]),
        [saying("wait"), saves],
      ] as [string[], () => Promise<void>][];
      for (const [words, moment] of moments) {
        const running = cache.start([...words, "--quiet"]);
        const output = running.output();
        await moment();
        running.kill("SIGINT");
        const { signal, code, stderr } = await output;
        assert.equal(new TextDecoder().decode(stderr), "");
        assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code}`);
        const { names } = cache;
        assert.ok(!names.some((name) => name.startsWith("new-")), `${names}`);
        if (exists(cache.instant)) { // it may have come as far as to be kept
          Deno.removeSync(cache.instant, { recursive: true });
        }
      }
    });
    await t.step("first boots at once, of which one is kept", async () => {
      const both = await Promise.all([boot(), boot()]);
      for (const said of both) {
        assert.match(said, BEGINNING);
        assert.deepEqual(own(said), []);
      }
      assert.ok(cache.entry);
      assert.equal(cache.names.length, 1);
    });
    const goesOn = async () => {
      const { memory } = cache;
      const said = await boot();
      assert.doesNotMatch(said, BEGINNING);
      assert.deepEqual(own(said), []);
      assert.equal(cache.memory, memory, "kept again");
    };
    await t.step("and the next goes on from there", goesOn);
    await t.step("--cold boots from the beginning", async () => {
      assert.match(await boot("--cold"), BEGINNING);
    });
    await t.step("damaged: from the beginning, in one line", async () => {
      Deno.truncateSync(`${cache.entry}/state.json`, 1000);
      const said = await boot();
      const [line, ...others] = own(said);
      assert.match(line!, /^vireo: from the beginning: .*is not JSON$/);
      assert.deepEqual(others, []);
      assert.match(said, BEGINNING);
      await goesOn(); // it is mended
    });
    await t.step("not only the caller's: from the beginning", async () => {
      Deno.chmodSync(cache.instant, 0o755);
      const said = await boot();
      assert.match(
        own(said)[0]!,
        /^vireo: from the beginning: .* is not only yours \(mode 0700\)$/,
      );
      assert.match(said, BEGINNING);
      Deno.chmodSync(cache.instant, 0o700);
      await goesOn();
    });
  },
}));
