/**
 * A server that runs shell scripts, each in a machine of its own, which goes
 * on from a guest that is warm already and is thrown away afterwards.
 *
 *     TOKEN=secret deno run -A examples/code_runner.ts [PORT]
 *     curl -N 127.0.0.1:8000 -H 'Authorization: Bearer secret' \
 *       -H 'Content-Type: application/json' -d '{"script": "uname -a"}'
 *
 * What confines a script: the machine. It has no network, no disk that it
 * could write to, the machine's memory, a time and an amount of output; and no
 * other script sees what it has done. What doesn't: nothing confines this
 * process, which answers the guest's devices. A guest that breaks out of KVM
 * or finds a hole in Vireo is on this host as the user that runs it. Don't run
 * it as one who owns something, and let no browser near the token.
 */
import { giveMemoryBack } from "./code_runner/malloc.ts";
import { serve } from "./code_runner/server.ts";
import { warmUp } from "./code_runner/warm_guest.ts";

const token = Deno.env.get("TOKEN");
if (!token) {
  console.error("code_runner: set TOKEN, which callers have to know");
  Deno.exit(1);
}
const port = Number(Deno.args[0] ?? 8000);
if (!(Number.isInteger(port) && port >= 0 && port < 65536)) {
  console.error(`code_runner: ${Deno.args[0]} is no port`);
  Deno.exit(1);
}
const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => ending.abort());
}
giveMemoryBack();
console.error("code_runner: warming a guest up");
using warm = await warmUp(64);
await using pool = await warm.pool(4);
const server = serve(pool, {
  token,
  port,
  milliseconds: 10_000,
  output: 64 * 1024,
  body: 64 * 1024,
  machines: 20,
  waiting: 100,
}, ending.signal);
console.error(`code_runner: http://127.0.0.1:${server.addr.port}`);
await server.finished;
