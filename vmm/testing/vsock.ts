/**
 * For tests: the host's end of a vsock device's socket.
 *
 * @module
 */
import assert from "node:assert/strict";

/** A stream to `port` of the guest, once somebody listens there. */
export async function connect(
  path: string,
  port: number,
): Promise<Deno.UnixConn> {
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
export async function echoed(
  connection: Deno.UnixConn,
  data: Uint8Array,
): Promise<Uint8Array> {
  const send = async () => {
    await connection.writable.getWriter().write(data);
    await connection.closeWrite();
  };
  const [answer] = await Promise.all([
    new Response(connection.readable).bytes(),
    send(),
  ]);
  return answer;
}
