/** The live page in a real browser. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { Machine } from "../../vmm/machine.ts";
import { ScratchFile } from "../../vmm/testing/mod.ts";
import { ECHOES } from "../../vmm/testing/tiny_guest.ts";
import { Page } from "./page.ts";
import { Chromium } from "./testing/chromium.ts";
import { HERE, Noting } from "./testing/noting.ts";

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
    const page = new Page("--monitor", HERE, assert.fail);
    const shown = page.add("vireo");
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
          shown.heard(bytes);
          printed += new TextDecoder().decode(bytes);
        },
      });
      shown.watch(machine, (bytes) => machine.input(bytes));
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
      await until(
        async () => { // the browser tells of it in its own time
          await browser.do({ evaluate: "0" });
          return /Content Security Policy/.test(browser.wrong.join());
        },
        "an objection of the policy",
        () => browser.wrong,
      );

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

      assert.equal(browser.wrong.length, 1, browser.wrong.join("\n"));
      await machine.stop();
      await page[Symbol.asyncDispose]();
      await browser.do({ until: `${STATE} === "ended"` });
      // It may have asked once more before it heard of the end.
      for (const line of browser.wrong.slice(1)) {
        assert.match(line, /ERR_CONNECTION_REFUSED/);
      }
    } finally {
      await page[Symbol.asyncDispose]();
      Deno.removeSync(kernel);
    }
  },
}));

Deno.test(needing([KVM, "chromium"], {
  name: "live page: in Chromium, a list of machines, a balloon, and a snapshot",
  async fn() {
    const folder = Deno.makeTempDirSync();
    const kernel = `${folder}/kernel`;
    await using page = new Page("--monitor", HERE, assert.fail, folder);
    const others = Array.from({ length: 99 }, () => new Noting());
    others.forEach((machine, index) => page.add(`m${index}`).watch(machine));
    try {
      Deno.writeFileSync(kernel, ECHOES);
      const shown = page.add("real");
      await using machine = await Machine.create({
        "boot-source": { kernel_image_path: kernel },
        "machine-config": { mem_size_mib: 16 },
        balloon: { amount_mib: 1, deflate_on_oom: false },
      }, { onOutput: (bytes) => shown.heard(bytes) });
      shown.watch(machine, (bytes) => machine.input(bytes));
      machine.start();
      await using browser = new Chromium(page.url);
      const list = 'document.querySelectorAll("#machines tr")';
      await browser.do({ until: `${list}.length === 101` });
      const state = 'document.querySelector("#state").textContent';
      await browser.do({ until: `${state} === "running"` });
      assert.equal(
        await browser.do({
          evaluate: 'document.querySelector("#balloon").hidden',
        }),
        true,
      );

      // A link that somebody presses isn't taken away by the next numbers.
      const link = 'document.querySelector("#machines tr:last-child a")';
      const first = `${list}[1].cells[1]`;
      await browser.do({
        evaluate: `globalThis.pressed = ${link}, ${first}.textContent = "?"`,
      });
      await browser.do({ until: `${first}.textContent !== "?"` });
      assert.equal(
        await browser.do({ evaluate: "globalThis.pressed.isConnected" }),
        true,
      );

      // Over to the last one, which has a balloon.
      await browser.do({ click: "#machines tr:last-child a" });
      await browser.do({ until: `${state} === "real: running"` });
      await browser.do({ until: `${CONSOLE}.textContent.startsWith("hi\\n")` });
      const rate = `${list}[100].cells[3].textContent`;
      {
        // It sleeps unless something is typed.
        const type = () => void machine.input(Uint8Array.of(0x2e));
        const typing = setInterval(type, 20);
        using _typing = { [Symbol.dispose]: () => clearInterval(typing) };
        const listed = `${list}.length === 101`;
        await browser.do({ until: `${listed} && ${rate} !== "0"` });
      }
      await browser.do({
        until: 'document.querySelector("#mib").value === "1"',
      });
      await browser.do({ until: `${CHARTS} === 5` });
      await browser.do({ click: "#mib" });
      await browser.do({ type: ["Backspace", "Delete", "3"] });
      await browser.do({ click: "#inflate" });
      await until(
        async () => (await machine.balloon.stats()).target_mib === 3,
        "the target",
      );
      const said = 'document.querySelector("#said").textContent';
      await browser.do({ click: 'button[data-post="snapshot"]' });
      await browser.do({
        until: `${said}.startsWith("saved in ${folder}/real-")`,
      });
      const [saved] = [...Deno.readDirSync(folder)]
        .filter(({ name }) => name.startsWith("real-"));
      await using twin = await Machine.restore(`${folder}/${saved!.name}`);
      assert.equal((await twin.metrics()).memory, 16 << 20);

      // The others are untouched by it all.
      assert.deepEqual(others.flatMap(({ told }) => told), []);
      await browser.do({ click: "#machines tr:nth-child(3) a" });
      await browser.do({ until: `${state} === "m1: running"` });
      await browser.do({ click: 'button[data-post="pause"]' });
      await until(() => others[1]!.state === "paused", "m1 paused");
      assert.equal(machine.state, "running");
      assert.deepEqual(browser.wrong, []);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
}));
