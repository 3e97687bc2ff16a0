/** Clients that others have made, unmodified. */
import assert from "node:assert/strict";
import { exists } from "../ffi/file.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import { prepared } from "../images/linux/prepare.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { ECHOES } from "../vmm/testing/tiny_guest.ts";
import { run } from "./testing/run.ts";
import { ApiProcess } from "./testing/process.ts";

const BINARY = new URL("../bin/firecracker", import.meta.url).pathname;
const SCRIPT = new URL("./testing/clients.py", import.meta.url).pathname;

/** The clients, and what the one part of each that is used wants. */
const WHOLE = [
  "smolvm==0.0.36",
  "requests==2.32.3",
  "requests-unixsocket==0.4.1",
];
const ALONE = ["bandsox==3.5", "hysn-firecracker-python==1.0.7"];

/** Python with the clients, which is kept for the next time. */
async function python(): Promise<string> {
  const folder = `${cacheFolder()}/api-clients`;
  if (!exists(`${folder}/whole`)) {
    await run("python3", "-m", "venv", "--clear", folder);
    const pip = (...args: string[]) =>
      run(`${folder}/bin/pip`, "--quiet", "install", ...args);
    await pip(...WHOLE);
    await pip("--no-deps", ...ALONE);
    Deno.writeTextFileSync(`${folder}/whole`, "");
  }
  return `${folder}/bin/python`;
}

for (const client of ["smolvm", "bandsox", "hysn"]) {
  Deno.test(needing([KVM, "python3"], {
    name: `API client: ${client}, from PyPI as it is`,
    async fn() {
      const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
      try {
        Deno.writeFileSync(`${folder}/kernel`, ECHOES);
        const kernel = `${folder}/kernel`;
        const args = [SCRIPT, BINARY, kernel, folder, client];
        assert.equal(await run(await python(), ...args), "ok\n");
      } finally {
        Deno.removeSync(folder, { recursive: true });
      }
    },
  }));
}

Deno.test(needing([KVM, LINUX, "curl"], {
  name:
    "API client: curl, in the order of Firecracker's first steps, up to a shell, and a command by Vireo's own",
  async fn() {
    const guest = (await prepared("small"))!;
    await using process = new ApiProcess({
      launcher: true,
      args: ["--allow-modules"],
    });
    await process.client(); // it listens
    const put = async (path: string, body: unknown) => {
      const answer = await run(
        ...["curl", "--silent", "--show-error", "--fail-with-body"] as const,
        ...["-X", "PUT", "--unix-socket", process.path] as const,
        ...["--data", JSON.stringify(body), "--write-out", "%{http_code}"],
        `http://localhost${path}`,
      );
      assert.equal(answer, "204", path);
    };
    const log_path = `${process.folder}/log`;
    await put("/logger", {
      ...{ log_path, level: "Debug", show_level: true, show_log_origin: true },
    });
    await put("/boot-source", {
      kernel_image_path: guest.kernel,
      boot_args: "console=ttyS0 reboot=k panic=1",
    });
    await put("/drives/rootfs", {
      drive_id: "rootfs",
      path_on_host: guest.rootfs,
      is_root_device: true,
      is_read_only: true,
    });
    await put("/vireo/config", { console: { agent: true } });
    await put("/actions", { action_type: "InstanceStart" });
    await process.until(() => process.stdout.includes("/ # "), "its shell");
    const client = await process.client();
    const { body } = await client.ask("PUT", "/vireo/exec", {
      command: "cat; echo $A >&2; exit 7",
      ...{ env: ["A=b c"], stdin: "typed", timeout_ms: 60_000 },
    });
    assert.deepEqual(JSON.parse(body), {
      ...{ code: 7, signal: null, stdout: "typed", stderr: "b c\n" },
    });
    const writer = process.child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("reboot -f\n"));
    writer.releaseLock();
    assert.equal(await process.end(), 0);
    const log = Deno.readTextFileSync(log_path);
    assert.match(
      log,
      /^\S+ \[anonymous-instance:fc_api:INFO:\S+\] The API server received a Put request on "\/boot-source"/m,
    );
    assert.match(
      log,
      /:DEBUG:\S+\] Total previous API call duration: \d+ us\.$/m,
    );
    assert.match(log, /Firecracker exiting successfully\. exit_code=0$/m);
  },
}));
