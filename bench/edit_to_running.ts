/**
 * From an edit to what it does in a guest: a module of examples/lab is changed,
 * and run, until its first output is there. Linux goes on from what an earlier
 * boot has kept; each task's first run keeps it, and is not counted.
 *
 *     deno task bench:edit [RUNS] [FILE...]
 *
 * @module
 */
import { spread } from "./paths/pairs.ts";

const ROOT = new URL("../", import.meta.url);
const MAIN = new URL("main.ts", ROOT).pathname;

interface Task {
  /** Its file in examples/lab. */
  file: string;
  /** Who is the guest. */
  guest: "none" | "payload" | "Linux";
  /** Words for Deno, with the changed file's path in the place of FILE. */
  words: string[];
}

const boot = (
  ...words: string[]
) => ["run", "-A", MAIN, "boot", "--quiet", ...words];
const program = ["run", "-A", "FILE"];
const head = ["--exec", "head -c 9 /dev/vdb"];
const leds = "FILE,port=1,address=0x300";
const arm = "backend=FILE,policy=nearest";
const bucket = "backend=FILE,weight=1,rate=1000";
const TASKS: Task[] = [
  { file: "mmio.ts", guest: "none", words: program },
  { // Linux's own driver reads what the edited device gives it.
    file: "drip.ts",
    guest: "Linux",
    words: boot(
      ...["--device", "FILE,bytes=16,ms=1", "--exec", "head -c 9 /dev/hwrng"],
    ),
  },
  {
    file: "leds.ts",
    guest: "Linux",
    words: boot("--bus-device", leds, "--exec", "cat /proc/uptime"),
  },
  {
    file: "sectors.ts",
    guest: "Linux",
    words: boot("--disk", "backend=FILE", ...head),
  },
  { file: "faults.ts", guest: "payload", words: [...program, "7"] },
  { file: "trace.ts", guest: "payload", words: [...program, "/dev/null"] },
  { file: "arm.ts", guest: "Linux", words: boot("--disk", arm, ...head) },
  { file: "bucket.ts", guest: "Linux", words: boot("--disk", bucket, ...head) },
  { file: "many.ts", guest: "payload", words: [...program, "10"] },
];

/** Milliseconds from the edit to the first output. */
async function run(folder: string, { file, words }: Task): Promise<number> {
  const source = Deno.readTextFileSync(new URL(`examples/lab/${file}`, ROOT));
  const start = performance.now();
  const edited = `${folder}/${file}`;
  const text = source.replaceAll('"../../', `"${ROOT.href}`);
  Deno.writeTextFileSync(edited, `${text}// ${start}\n`);
  const args = words.map((word) => word.replace("FILE", edited));
  const child = new Deno.Command(Deno.execPath(), {
    args,
    stdout: "piped",
    stderr: "null", // events of faults.ts
  }).spawn();
  let first = NaN;
  for await (const bytes of child.stdout) {
    if (isNaN(first) && bytes.length > 0) first = performance.now() - start;
  }
  if (!(await child.status).success) {
    throw new Error(`${args.join(" ")} failed`);
  }
  return first;
}

const [runs = "20", ...files] = Deno.args;
const tasks = files.length === 0
  ? TASKS
  : TASKS.filter(({ file }) => files.includes(file));
const folder = await Deno.makeTempDir({ prefix: "vireo-edit-" });
try {
  for (const task of tasks) {
    const all: number[] = [];
    await run(folder, task);
    for (let i = 0; i < Number(runs); i++) all.push(await run(folder, task));
    const { median, min, max } = spread(all);
    const [middle, least, most] = [median, min, max].map(Math.round);
    console.log(
      `${task.file} (${task.guest}): ${middle} ms (${least} to ${most})`,
    );
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
