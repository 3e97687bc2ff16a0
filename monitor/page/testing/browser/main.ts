/**
 * A browser that does what it is told: each line of standard input is a step,
 * in JSON, and gets a line in answer. Its argument is the URL to begin with.
 *
 * @module
 */
import puppeteer, { type Page } from "puppeteer-core";
import type { Step } from "../chromium.ts";

/** Milliseconds after which nothing will come any more. */
const TIMEOUT = 120_000;

const browser = await puppeteer.launch({
  executablePath: "/usr/bin/chromium",
  // Its sandbox needs another user than root.
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
  defaultViewport: { width: 1200, height: 1200 },
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(TIMEOUT);
  const wrong: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  await page.goto(Deno.args[0]!);
  let rest = "";
  const input = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  for await (const text of input) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const answer = await take(page, JSON.parse(line)).then(
        (value) => ({ value, wrong }),
        (error) => ({ error: String(error), wrong }),
      );
      console.log(JSON.stringify(answer));
    }
  }
} finally {
  await browser.close();
}

async function take(page: Page, step: Step): Promise<unknown> {
  if ("evaluate" in step) return await page.evaluate(step.evaluate);
  if ("until" in step) return void await page.waitForFunction(step.until);
  if ("click" in step) return await page.click(step.click);
  if ("reload" in step) return void await page.reload();
  if ("screenshot" in step) {
    return void await page.screenshot({ path: `${step.screenshot}.png` });
  }
  for (const text of step.type) {
    if (/^[A-Z][a-z]+$/.test(text)) await page.keyboard.press(text as "Enter");
    else await page.keyboard.type(text);
  }
}
