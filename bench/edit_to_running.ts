/**
 * From an edit to what it does in a guest: a module of examples/lab is changed,
 * and run, until its first output is there. Linux goes on from what an earlier
 * boot has kept; each task's first run keeps it, and is not counted.
 *
 *     deno run -A bench/edit_to_running.ts [RUNS]
 *
 * @module
 */
import { median } from "./snapshot/figures.ts";

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
const TASKS: Task[] = [
  { file: "mmio.ts", guest: "none", words: program },
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
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" })
    .spawn();
  let first = NaN;
  for await (const bytes of child.stdout) {
    if (isNaN(first) && bytes.length > 0) first = performance.now() - start;
  }
  if (!(await child.status).success) {
    throw new Error(`${args.join(" ")} failed`);
  }
  return first;
}

const runs = Number(Deno.args[0] ?? 5);
const folder = await Deno.makeTempDir({ prefix: "vireo-edit-" });
try {
  for (const task of TASKS) {
    const all: number[] = [];
    await run(folder, task);
    for (let i = 0; i < runs; i++) all.push(await run(folder, task));
    const [least, middle] = [Math.min(...all), median(all)].map(Math.round);
    console.log(`${task.file} (${task.guest}): ${middle} ms, least ${least}`);
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
