/** What a process has open, without what Deno's event loops have. */
import assert from "node:assert/strict";
import { Epoll } from "../epoll.ts";
import { EventFd } from "../eventfd.ts";
import { descriptorsButDenos } from "./descriptors.ts";
import { descriptorsOfProcess } from "./mmap.ts";
import { until } from "./until.ts";

Deno.test("descriptors: Deno's loops are left out, an epoll and an eventfd of ours are not", async () => {
  const count = (kind: string, names: Iterable<string>) =>
    [...names].filter((name) => name === `anon_inode:[${kind}]`).length;
  const all = () => descriptorsOfProcess().values();
  assert.ok(count("eventpoll", all()) > 0, "Deno has its own");
  // A worker's pipes and Deno's caches come and go, too.
  const others = () =>
    descriptorsButDenos().filter((name) => /^(anon_inode|socket)/.test(name));
  const before = others();
  {
    const module = "data:text/javascript,postMessage(1)";
    const worker = new Worker(module, { type: "module" });
    await new Promise((done) => worker.onmessage = done);
    const loops = count("eventpoll", all());
    assert.deepEqual(others(), before);
    const epoll = new Epoll();
    using _epoll = { [Symbol.dispose]: () => epoll.close() };
    using event = new EventFd();
    epoll.add(event.fd, 0);
    using _listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const now = others();
    assert.equal(count("eventpoll", now), count("eventpoll", before) + 1);
    assert.equal(count("eventfd", now), count("eventfd", before) + 1);
    assert.equal(now.length, before.length + 3, "and the listener");
    assert.equal(count("eventpoll", all()), loops + 1);
    worker.terminate();
  }
  const text = () => others().join(", ");
  await until(() => text() === before.join(", "), "what was there", text);
});
