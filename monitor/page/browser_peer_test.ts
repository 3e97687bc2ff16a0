/** The live page in a real browser. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { Machine } from "../../vmm/machine.ts";
import { ScratchFile } from "../../vmm/testing/mod.ts";
import { ECHOES } from "../../vmm/testing/tiny_guest.ts";
import { LivePage } from "./page.ts";
import { Chromium } from "./testing/chromium.ts";

const STATE = 'document.querySelector("#state").textContent';
const CONSOLE = 'document.querySelector("#console")';
const CHARTS = 'document.querySelectorAll("#charts.drawn canvas").length';
const table = (id: string) =>
  `[...document.querySelectorAll("#${id} tr")]
    .map(({ cells }) => [...cells].map(({ textContent }) => textContent))`;

Deno.test(needing([KVM, "chromium"], {
  name:
    "live page: in Chromium, with the machine's numbers, keys, a reload, and the end",
  async fn() {
    const kernel = Deno.makeTempFileSync();
    using disk = new ScratchFile(1 << 20);
    let printed = "";
    const page = new LivePage({ hostname: "127.0.0.1", port: 0 }, assert.fail);
    try {
      Deno.writeFileSync(kernel, ECHOES);
      await using machine = await Machine.create({
        "boot-source": { kernel_image_path: kernel },
        "machine-config": { mem_size_mib: 16 },
        drives: [
          { drive_id: "d0", path_on_host: disk.path, is_root_device: false },
        ],
      }, {
        onOutput: (bytes) => {
          page.heard(bytes);
          printed += new TextDecoder().decode(bytes);
        },
      });
      page.watch(machine, (bytes) => machine.input(bytes));
      machine.start();
      await using browser = new Chromium(page.url);
      await browser.do({ until: `${STATE} === "running"` });
      assert.equal(await browser.do({ evaluate: "location.hash" }), "");
      await browser.do({ until: `${CONSOLE}.textContent.startsWith("hi\\n")` });

      await browser.do({ until: `${CHARTS} === 4` });

      // Paused, the numbers stand still.
      await browser.do({ click: 'button[data-post="pause"]' });
      await browser.do({ until: `${STATE} === "paused"` });
      assert.equal(machine.state, "paused");
      const { vcpus, devices } = await machine.metrics();
      const exits = Object.entries(vcpus[0]!.exits);
      const text = (value: number) => value.toLocaleString("en");
      await browser.do({
        until: `${table("vcpus")}[1].at(-1) === "${text(exits.at(-1)![1])}"`,
      });
      assert.deepEqual(await browser.do({ evaluate: table("vcpus") }), [
        ["exits", ...exits.map(([reason]) => reason)],
        ["vCPU 0", ...exits.map(([, count]) => text(count))],
      ]);
      const rows = await browser.do({ evaluate: table("devices") });
      assert.deepEqual((rows as string[][]).map(([name]) => name), [
        "device",
        `d0 (${devices[0]!.kind})`,
      ]);
      await browser.do({ click: 'button[data-post="resume"]' });
      await browser.do({ until: `${STATE} === "running"` });

      // What the guest says is text, whatever it looks like.
      await browser.do({ click: "#console" });
      const typed = "<b onclick=x>bold</b>";
      await browser.do({ type: [typed, "Enter"] });
      await until(() => printed.includes(`${typed}\r`), "keys", () => printed);
      await browser.do({
        until: `${CONSOLE}.textContent.includes("${typed}")`,
      });
      const children = `${CONSOLE}.childElementCount`;
      assert.equal(await browser.do({ evaluate: children }), 0);
      const inline = "document.createElement('script')";
      assert.equal(
        await browser.do({
          evaluate: `(() => { const one = ${inline};
            one.textContent = "globalThis.ran = true";
            document.body.append(one); return globalThis.ran ?? false })()`,
        }),
        false,
      );
      assert.match(browser.wrong.join(), /Content Security Policy/);

      // The log, of exits that have that word.
      await browser.do({ click: 'input[value="exit"]' });
      await browser.do({ click: "#filter" });
      await browser.do({ type: ["register=LSR"] });
      await browser.do({ click: "#console" });
      await browser.do({ type: ["!"] });
      const log = 'document.querySelector("#log").textContent';
      await browser.do({ until: `/^[0-9.]+ exit .*register=/m.test(${log})` });
      await browser.do({
        until: `${log}.split("\\n").every((line) => /register=LSR/.test(line))`,
      });

      // A reload needs no token; the console is there again.
      await browser.do({ reload: true });
      await browser.do({ until: `${STATE} === "running"` });
      await browser.do({
        until: `${CONSOLE}.textContent.includes("${typed}")`,
      });

      await machine.stop();
      await page[Symbol.asyncDispose]();
      await browser.do({ until: `${STATE} === "ended"` });
      assert.equal(browser.wrong.length, 1, browser.wrong.join("\n"));
    } finally {
      await page[Symbol.asyncDispose]();
      Deno.removeSync(kernel);
    }
  },
}));
