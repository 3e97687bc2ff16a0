/** `--timeout`, and guests that never come to their commands. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { ScratchFile } from "../vmm/testing/mod.ts";
import { says } from "../vmm/testing/tiny_guest.ts";
import { parseTimeout } from "./options.ts";
import { vireo, type VireoResult as Result } from "../vmm/testing/command.ts";

/** Says `text` on the serial port, then goes on with `code`. */
function kernel(text: string, code: readonly number[]): ScratchFile {
  const file = new ScratchFile(0);
  Deno.writeFileSync(file.path, says(text, code));
  return file;
}

const LOOP = [0xeb, 0xfe]; // jmp to itself
const HALT = [0xfa, 0xf4, 0xeb, 0xfd]; // cli; hlt
const PANIC = "Oops\nKernel panic - not syncing: x\n" +
  "---[ end Kernel panic - not syncing: x ]---\n";

Deno.test(needing([KVM], {
  name: "--timeout: boot and run end with 124 and the console's last lines",
  async fn() {
    using guest = kernel("line 1\nline 2\n", LOOP);
    const ends = async (args: string[], stdout: string, lines: string) => {
      let seconds = 0.25;
      let result: Result;
      // A busy host may not have run the guest at all by then, or only up to
      // the middle of a line.
      const said = () => /line 2\r?\n/.test(result.stdout || result.stderr);
      do {
        seconds *= 2;
        result = await vireo([...args, `--timeout=${seconds}`], "");
      } while (!said() && seconds < 60);
      const expected = `vireo: --timeout: the guest has had its ${seconds} s` +
        lines;
      assert.ok(result.stderr.endsWith(expected), result.stderr);
      assert.equal(result.stdout.replaceAll("\r", ""), stdout);
      assert.equal(result.code, 124);
    };
    const lines = "; it last said:\n  line 1\n  line 2\n";
    const said = "line 1\nline 2\n";
    await ends(["boot", guest.path], said, lines);
    await ends(["boot", guest.path, "--quiet", "--exec", "true"], "", lines);
    // Without --quiet, standard error has them already.
    await ends(["boot", guest.path, "--exec", "true"], "", "\n");
    using config = new ScratchFile(0);
    const source = { "boot-source": { kernel_image_path: guest.path } };
    Deno.writeTextFileSync(config.path, JSON.stringify(source));
    await ends(["run", "--config", config.path], said, lines);
  },
}));

Deno.test(needing([KVM], {
  name: "boot from a pipe ends with a guest that halts, with ACPI or without",
  async fn() {
    using guest = kernel("System halted\n", HALT);
    const halts = async (...acpi: string[]) => {
      const { code, stdout } = await vireo(["boot", guest.path, ...acpi], "x");
      assert.deepEqual([code, stdout], [0, "System halted\n"]);
    };
    await Promise.all([halts("--acpi", "off"), halts("--acpi", "on")]);
  },
}));

Deno.test("--timeout: what is no time gets a line, before anything is done", async () => {
  const line = (text: string) =>
    `--timeout ${text}: not a number of seconds, above 0 and at most 2147483`;
  for (const text of ["0", "-1", "1m", "", "2147484", "1e3", "Infinity"]) {
    assert.throws(() => parseTimeout(text), { message: line(text) });
  }
  for (const args of [["boot"], ["run", "--config", "none.json"]]) {
    const { code, stderr } = await vireo([...args, "--timeout=0"]);
    assert.equal(stderr, `vireo: ${line("0")}\n`);
    assert.equal(code, 1);
  }
});

Deno.test(needing([KVM], {
  name:
    "--exec: a guest that can't come to its commands ends with what it said",
  async fn() {
    const ends = async (
      code: readonly number[],
      text: string,
      did: string,
      ...more: string[]
    ) => {
      using guest = kernel(text, code);
      const args = ["boot", guest.path, "--exec", "true", ...more];
      const runs = [vireo([...args, "--quiet"]), vireo(args)];
      const [result, loud] = await Promise.all(runs) as [Result, Result];
      const lines = text.trim().split("\n").map((line) => `  ${line}\n`);
      const ended = `vireo: --exec: the guest ${did} before the commands ` +
        "ran; they need the prepared root image, --root busybox";
      assert.equal(
        result.stderr,
        `${ended}; it last said:\n${lines.join("")}`,
      );
      assert.deepEqual([result.code, result.stdout], [1, ""]);
      const log = loud.stderr.replaceAll("\r", "");
      assert.ok(log.endsWith(`${text}${ended}\n`), log);
      assert.deepEqual([loud.code, loud.stdout], [1, ""]);
    };
    await Promise.all([
      ends(LOOP, PANIC, "panicked"),
      ends(HALT, "System halted\n", "ended (halt)"),
      // Without commands, one with ACPI stays as it is.
      ends(HALT, "System halted\n", "halted", "--acpi", "on"),
    ]);
  },
}));
