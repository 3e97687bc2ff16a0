/**
 * What the code runner can take: requests, so many at once, over HTTP.
 *
 *     deno run -A examples/code_runner/load.ts [REQUESTS] [AT ONCE]
 *
 * @module
 */
import { giveMemoryBack } from "./malloc.ts";
import { serve } from "./server.ts";
import { warmUp } from "./warm_guest.ts";

const [requests, atOnce] = [
  Number(Deno.args[0] ?? 1000),
  Number(Deno.args[1] ?? 20),
];
/** What this process has, once nothing of it changes any more. */
async function held() {
  const now = () => ({
    descriptors: [...Deno.readDirSync("/proc/self/fd")].length,
    threads: [...Deno.readDirSync("/proc/self/task")].length,
    processes: Deno.readTextFileSync("/proc/thread-self/children")
      .split(" ").length - 1,
    files: [...Deno.readDirSync(Deno.env.get("TMPDIR") ?? "/tmp")].length,
  });
  let last = now();
  for (let same = 0; same < 20;) {
    await new Promise((done) => setTimeout(done, 100));
    const next = now();
    same = JSON.stringify(next) === JSON.stringify(last) ? same + 1 : 0;
    last = next;
  }
  return { ...last, mib: Deno.memoryUsage().rss / 1024 ** 2 };
}

giveMemoryBack();
using warm = await warmUp(64);
await using pool = await warm.pool(4);
const ending = new AbortController();
const token = crypto.randomUUID();
const server = serve(pool, {
  token,
  port: 0,
  milliseconds: 60_000,
  output: 4096,
  body: 4096,
  machines: atOnce,
  waiting: atOnce,
}, ending.signal);

const times: number[] = [];
const wrong: string[] = [];
async function one(number: number): Promise<void> {
  const begun = performance.now();
  const response = await fetch(`http://127.0.0.1:${server.addr.port}`, {
    method: "POST",
    headers: {
      "authorization": `Bearer ${token}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ script: `echo "number ${number}"; exit 7` }),
  });
  const text = await response.text();
  times.push(performance.now() - begun);
  const lines = text.trim().split("\n").map((line) => JSON.parse(line));
  const output = lines.map((line) => line.output ?? "").join("");
  const { status } = lines.at(-1);
  if (output !== `number ${number}\n` || status !== 7) wrong.push(text);
}

await one(0); // what is opened once
const before = await held(); // the pool is full again
times.length = 0;
const begun = performance.now();
let next = 1;
await Promise.all(Array.from({ length: atOnce }, async () => {
  while (next <= requests) {
    await one(next++);
    if (times.length % 100 === 0) console.error(`${times.length} answered`);
  }
}));
const seconds = (performance.now() - begun) / 1000;
ending.abort();
await server.finished;
const after = await held();

times.sort((a, b) => a - b);
const at = (part: number) =>
  times[Math.floor(part * (times.length - 1))]!.toFixed(0);
console.table({
  requests: times.length,
  "at once": atOnce,
  wrong: wrong.length,
  "a second": Number((times.length / seconds).toFixed(1)),
  "ms, median": Number(at(0.5)),
  "ms, least": Number(at(0)),
  "ms, 99 %": Number(at(0.99)),
  "ms, greatest": Number(at(1)),
  "descriptors more": after.descriptors - before.descriptors,
  "threads more": after.threads - before.threads,
  "processes more": after.processes - before.processes,
  "files in /tmp more": after.files - before.files,
  "MiB more": Math.round(after.mib - before.mib),
});
if (wrong.length > 0) {
  console.error(wrong[0]);
  Deno.exitCode = 1;
}
