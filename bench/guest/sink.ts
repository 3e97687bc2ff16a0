/**
 * The host's end of TCP, in the network's namespace.
 *
 * @module
 */
import { SINK_PORT, SOURCE_PORT, TCP_SIZE } from "./programs.ts";

async function sink(): Promise<void> {
  for await (const { readable, writable } of Deno.listen({ port: SINK_PORT })) {
    await readable.pipeTo(new WritableStream());
    await writable.close(); // the guest's clock stops when all has arrived
  }
}

async function source(): Promise<void> {
  const data = new Uint8Array(TCP_SIZE);
  for await (const { writable } of Deno.listen({ port: SOURCE_PORT })) {
    const writer = writable.getWriter();
    await writer.write(data);
    await writer.close();
  }
}

await Promise.all([sink(), source()]);
