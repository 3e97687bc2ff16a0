/**
 * The prepared Linux and programs on the host talk over vsock.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { boot } from "../testing/command.ts";
import { connect, echoed } from "../testing/vsock.ts";

const MIB = 1 << 20;

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

Deno.test(needing([KVM, LINUX], {
  name: "Linux: vsock carries 1 MiB both ways, whoever connects",
  async fn(t) {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.removeSync(dir, { recursive: true }));
    const data = randomBytes(MIB);
    Deno.writeFileSync(`${dir}/data`, data);
    const path = `${dir}/v.sock`;
    const listen = (port: number) =>
      stack.use(Deno.listen({ transport: "unix", path: `${path}_${port}` }));
    const echo = listen(53);
    const end = listen(54); // keeps the guest until the host is done
    const echoing = echo.accept()
      .then(({ readable, writable }) => readable.pipeTo(writable));
    const booted = boot([
      ...["--quiet", "--disk", `${dir}/data,ro`],
      ...["--vsock", `cid=3,uds=${path}`, "--exec"],
      `vsock listen 52 cat &
       echo guest $(vsock connect 53 < /dev/vdb | sha256sum)
       vsock connect 99 < /dev/null; echo nobody $?
       vsock connect 54 < /dev/null; echo end $?`,
    ]);
    const host = await echoed(await connect(path, 52), data);
    await echoing;
    (await end.accept()).close();
    const { code, stdout, stderr } = await booted;
    const all = stdout + stderr;
    await t.step("the host connects: 1 MiB comes back as it was", () => {
      assert.equal(sha256(host), sha256(data));
    });
    await t.step("the guest connects: 1 MiB comes back as it was", () => {
      assert.ok(all.includes(`guest ${sha256(data)}`), all);
    });
    await t.step("where nobody listens, connecting fails", () => {
      assert.match(all, /connect: error 104\nnobody 1/);
    });
    await t.step("the machine ends, and its socket is gone", () => {
      assert.match(all, /end 0/);
      assert.equal(code, 0);
      assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
    });
  },
}));
