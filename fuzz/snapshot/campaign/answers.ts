/**
 * A program: the host's end of a campaign. Each line that a guest sends is kept
 * and sent back.
 *
 *     deno run -A answers.ts ADDRESS PORT FILE
 *
 * @module
 */
const [hostname = "", port, file = ""] = Deno.args;
using listener = Deno.listen({ hostname, port: Number(port) });
using kept = Deno.openSync(file, { write: true, create: true, append: true });
const connection = await listener.accept();
for await (const bytes of connection.readable) {
  for (let at = 0; at < bytes.length;) at += kept.writeSync(bytes.subarray(at));
  for (let at = 0; at < bytes.length;) {
    at += await connection.write(bytes.subarray(at));
  }
}
