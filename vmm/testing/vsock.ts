/**
 * For tests: the host's end of a vsock device's socket.
 *
 * @module
 */
import assert from "node:assert/strict";
import { until } from "../../ffi/testing/until.ts";

/** A stream to `port` of the guest, once somebody listens there. */
export async function connect(
  path: string,
  port: number,
): Promise<Deno.UnixConn> {
  const line = new Uint8Array(32);
  let accepted: Deno.UnixConn | undefined;
  await until(async () => {
    const connection = await open(path);
    if (connection === undefined) return false;
    await connection.write(new TextEncoder().encode(`CONNECT ${port}\n`));
    const count = await connection.read(line);
    if (count === null) {
      connection.close();
      return false;
    }
    const text = new TextDecoder().decode(line.subarray(0, count));
    assert.match(text, /^OK \d+\n$/);
    accepted = connection;
    return true;
  }, `listener at port ${port} of the guest`);
  return accepted!;
}

async function open(path: string): Promise<Deno.UnixConn | undefined> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    // Not made yet, or made and not listened on yet.
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.ConnectionRefused) return undefined;
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
