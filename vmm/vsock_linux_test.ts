/**
 * The prepared Linux and programs on the host talk over vsock. The kernel is
 * built when it isn't there yet.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { boot, linuxMissing } from "./command_testing.ts";

const MIB = 1 << 20;
const missing = await linuxMissing();

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A stream to `port` of the guest, once somebody listens there. */
async function connect(path: string, port: number): Promise<Deno.UnixConn> {
  const line = new Uint8Array(32);
  for (;; await new Promise((done) => setTimeout(done, 200))) {
    const connection = await open(path);
    if (connection === undefined) continue;
    await connection.write(new TextEncoder().encode(`CONNECT ${port}\n`));
    const count = await connection.read(line);
    if (count !== null) {
      const text = new TextDecoder().decode(line.subarray(0, count));
      assert.match(text, /^OK \d+\n$/);
      return connection;
    }
    connection.close();
  }
}

async function open(path: string): Promise<Deno.UnixConn | undefined> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** What comes back of `data`, sent and read at the same time. */
async function echoed(
  connection: Deno.UnixConn,
  data: Uint8Array,
): Promise<Uint8Array> {
  const answer = new Response(connection.readable).bytes();
  const writer = connection.writable.getWriter();
  await writer.write(data);
  await connection.closeWrite();
  return await answer;
}

Deno.test({
  name: "Linux: vsock carries 1 MiB both ways, whoever connects" + missing,
  ignore: missing !== "",
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
});
