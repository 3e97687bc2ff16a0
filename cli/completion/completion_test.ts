/** Completion, as the shells themselves complete. */
import assert from "node:assert/strict";
import { denoFolder } from "../../ffi/deno_folder.ts";
import { needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { vireo } from "../../vmm/testing/command.ts";
import { command } from "../../vmm/testing/mod.ts";

/** For a shell that takes keys: Ctrl-T appends the line so far to a file. */
const SHOW = {
  bash: `show() { printf '%s\\n' "$READLINE_LINE" >>lines; }
    bind -x '"\\C-t": show'`,
  zsh: `autoload -Uz compinit && compinit -D -u
    show() { print -r -- "$BUFFER" >>lines }
    zle -N show && bindkey '^T' show`,
};
const START = { bash: "bash --norc --noprofile -i", zsh: "zsh -f -i" };

async function script(shell: string): Promise<string> {
  const { code, stdout, stderr } = await vireo(["completion", shell]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** What a shell at a terminal makes of these lines, each with a Tab. */
async function typed(
  shell: "bash" | "zsh",
  lines: readonly string[],
): Promise<string[]> {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  const seen = `${dir}/lines`;
  const shown = () => Deno.readTextFileSync(seen).split("\n").slice(0, -1);
  const set = `${SHOW[shell]}\n${await script(shell)}\necho ready >>lines\n`;
  Deno.writeTextFileSync(`${dir}/set`, set);
  Deno.writeTextFileSync(`${dir}/data.raw`, "");
  Deno.writeTextFileSync(seen, "");
  const child = new Deno.Command("script", {
    args: ["-qec", START[shell], "/dev/null"],
    cwd: dir,
    env: {
      ...{ TERM: "dumb", HOME: dir, INPUTRC: "/dev/null" },
      DENO_DIR: denoFolder(),
    },
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const encoder = new TextEncoder();
  try {
    const keys = [". ./set\n", ...lines.map((line) => `\x15${line}\t\x14`)];
    for (const [i, key] of keys.entries()) {
      await writer.write(encoder.encode(key));
      await until(() => shown().length > i, `${shell}: ${key}`, shown);
    }
    return shown().slice(1);
  } finally {
    await writer.close();
    child.kill();
    await child.status;
    Deno.removeSync(dir, { recursive: true });
  }
}

/** A line, and what a Tab at its end makes of it. */
const TYPED: [line: string, completed: string][] = [
  ["vireo bo", "vireo boot "],
  ["vireo completion z", "vireo completion zsh "],
  ["vireo boot --transp", "vireo boot --transport "],
  ["vireo boot --transport p", "vireo boot --transport pci "],
  ["vireo boot --quiet --acpi o", "vireo boot --quiet --acpi o"],
  ["vireo boot --disk da", "vireo boot --disk data.raw "],
  ["vireo boot --disk data.raw,di", "vireo boot --disk data.raw,direct "],
  ["vireo boot --disk data.raw,ro,q", "vireo boot --disk data.raw,ro,queues="],
  ["vireo boot --net tap=tap0,qu", "vireo boot --net tap=tap0,queues="],
  ["vireo boot --net hand", "vireo boot --net handler="],
  ["vireo boot --net passt,pcap=da", "vireo boot --net passt,pcap=data.raw "],
  ["vireo boot --root bu", "vireo boot --root busybox "],
  ["vireo run --config da", "vireo run --config data.raw "],
];

Deno.test(needing(["script", "bash"], {
  name: "completion: bash completes commands, options, words and files",
  async fn() {
    const lines = TYPED.map(([line]) => line);
    const completed = TYPED.map(([, line]) => line);
    assert.deepEqual(await typed("bash", lines), completed);
  },
}));

Deno.test(needing(["script", "zsh"], {
  name: "completion: zsh completes the same",
  async fn() {
    const lines = TYPED.map(([line]) => line);
    // It puts a "=" after an option, which a blank removes.
    const completed = TYPED.map(([, line]) =>
      line.replace(/--transport $/, "--transport=")
    );
    assert.deepEqual(await typed("zsh", lines), completed);
  },
}));

Deno.test(needing(["bash"], {
  name: "completion: bash offers every option of every command's help",
  async fn() {
    const bash = await script("bash");
    const offers = async (line: string) => {
      const cur = line.slice(line.lastIndexOf(" ") + 1);
      const set = `COMP_LINE='${line}' COMP_POINT=${line.length}`;
      const print = `printf '%s\\n' "\${COMPREPLY[@]}"`;
      const text = await command(
        ...["bash", "-c", `${bash}\n${set}\n_vireo vireo '${cur}'\n${print}`],
      );
      return text.trim().split("\n").toSorted();
    };
    const names = await offers("vireo ");
    const { stdout: help } = await vireo(["--help"]);
    for (const name of ["", ...names]) {
      const { stdout } = name === ""
        ? { stdout: help }
        : await vireo([name, "--help"]);
      const options = stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm);
      const flags = [...options].map(([, flag]) => flag!).toSorted();
      const line = ["vireo", name, "--"].filter(Boolean).join(" ");
      assert.deepEqual(await offers(line), flags, name);
    }
    const listed = help.matchAll(/^ {2}([\w-]+) (?:\[|<| {2})/gm);
    assert.deepEqual(
      names,
      [...listed].map(([, name]) => name!).filter((name) => name !== "vireo")
        .toSorted(),
    );
    assert.deepEqual(await offers("vireo help "), names);
  },
}));

Deno.test("completion: for another shell it names those that there are", async () => {
  const { code, stdout, stderr } = await vireo(["completion", "bahs"]);
  assert.equal(
    stderr,
    'vireo: completion bahs: not one of bash, zsh; did you mean "bash"?\n',
  );
  assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
});
