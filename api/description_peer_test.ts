/** The API against its own description, by schemathesis from PyPI. */
import assert from "node:assert/strict";
import { exists } from "../ffi/file.ts";
import { KVM, needing, root } from "../ffi/testing/needs.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import { HI } from "../vmm/testing/tiny_guest.ts";
import { run, runIn } from "./testing/run.ts";
import { ApiProcess } from "./testing/process.ts";

const SCHEMATHESIS = "schemathesis==4.32.5";

/** What is asked: no 5xx, no status and no type that the description hasn't. */
const CHECKS = "not_a_server_error,status_code_conformance," +
  "content_type_conformance";

/** The program, which is kept for the next time. */
async function schemathesis(): Promise<string> {
  const folder = `${cacheFolder()}/schemathesis`;
  if (!exists(`${folder}/whole`)) {
    await run("python3", "-m", "venv", "--clear", folder);
    await run(`${folder}/bin/pip`, "--quiet", "install", SCHEMATHESIS);
    Deno.writeTextFileSync(`${folder}/whole`, "");
  }
  return `${folder}/bin/schemathesis`;
}

/** A TCP port for a Unix socket, as the program knows no others. */
class Gate implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  constructor(path: string) {
    void this.#accept(path);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  async #accept(path: string): Promise<void> {
    for await (const client of this.#listener) {
      const server = await Deno.connect({ transport: "unix", path });
      client.readable.pipeTo(server.writable).catch(() => {});
      server.readable.pipeTo(client.writable).catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

/** All is read-only but the process's own folder: any path may be named. */
const CONFINED = [
  ...["unshare", "--mount", "sh", "-c"],
  'mount --bind "$PWD" "$PWD" && mount -o remount,bind,ro / && cd "$PWD" && ' +
  'exec "$@"',
  "sh",
];

for (const started of [false, true]) {
  const when = started ? "after" : "before";
  Deno.test(
    needing([KVM, "python3", root("makes the host's files read-only")], {
      name:
        `API against its own description, ${when} the start: no 5xx, no undocumented answer, no exit`,
      async fn() {
        const program = await schemathesis();
        await using process = new ApiProcess({
          through: CONFINED,
          args: ["--level", "Off", "--allow-modules"],
        });
        const client = await process.client();
        // So that a load that fails is no end.
        const machine = { vcpu_count: 1, mem_size_mib: 16 };
        await client.ask("PUT", "/machine-config", machine);
        if (started) {
          const kernel_image_path = process.file("kernel", HI);
          const source = { kernel_image_path, boot_args: "" };
          await client.ask("PUT", "/boot-source", source);
          const start = { action_type: "InstanceStart" };
          const { status } = await client.ask("PUT", "/actions", start);
          assert.equal(status, 204);
          await client.ask("PATCH", "/vm", { state: "Paused" });
        }
        using gate = new Gate(process.path);
        const said = await runIn(
          process.folder, // it keeps what it has found
          ...[program, "run", `${gate.url}/openapi.json`] as const,
          ...["--checks", CHECKS, "--seed", "1", "--max-examples", "10"],
          ...["--phases", "examples,coverage,fuzzing", "--no-color"],
          // An end, and ever more machines.
          ...[
            "--exclude-path-regex",
            "/vireo/(stop|fork)",
            "--warnings",
            "off",
          ],
          ...["--request-timeout", "60", "--suppress-health-check", "all"],
        );
        assert.match(said, /No issues found/, said);
        const { body } = await client.ask("GET", "/");
        const state = started ? /"state":"(Running|Paused)"/ : /"Not started"/;
        assert.match(body, state);
      },
    }),
  );
}
