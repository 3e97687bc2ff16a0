/** TAPs: names, errors, namespaces. */
import assert from "node:assert/strict";
import { VireoError } from "./errno.ts";
import { closeFd } from "./file.ts";
import { descriptorsOfProcess } from "./testing/mmap.ts";
import { openTap, setTapOffload, setTapQueue, TapOffload } from "./tap.ts";
import { needing, NETWORKS } from "./testing/needs.ts";
import { TestNamespace } from "./testing/tap.ts";

const headerSize = 12;

/** The message with which opening fails; no descriptor stays open. */
function refusal(name: string, netns?: string): string {
  const before = descriptorsOfProcess().size;
  const own = Deno.readLinkSync("/proc/thread-self/ns/net");
  try {
    openTap({ name, netns, headerSize });
  } catch (error) {
    assert.ok(error instanceof VireoError, String(error));
    assert.equal(descriptorsOfProcess().size, before);
    assert.equal(Deno.readLinkSync("/proc/thread-self/ns/net"), own);
    return error.message;
  }
  assert.fail(`${name} was opened`);
}

Deno.test("openTap: refuses what can't be an interface's name", () => {
  for (const name of ["", "a b", "a/b", "tap%d", "sixteen-letters-", "a\n"]) {
    assert.match(refusal(name), /can't be an interface's name/);
  }
});

Deno.test("openTap: a namespace that is missing is named", () => {
  const path = "/run/netns/vireo-none";
  assert.ok(refusal("tap0", "vireo-none").includes(path));
});

Deno.test(needing([NETWORKS], {
  name: "openTap: attaches in the namespace, and leaves the thread in its own",
  fn() {
    using namespace = new TestNamespace();
    namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    const own = Deno.readLinkSync("/proc/thread-self/ns/net");
    const tap = openTap({ name: "tap0", netns: namespace.name, headerSize });
    assert.equal(tap.mtu, 1500);
    assert.equal(Deno.readLinkSync("/proc/thread-self/ns/net"), own);
    closeFd(tap.fd);
  },
}));

Deno.test(needing([NETWORKS], {
  name: "openTap: the MTU is the interface's",
  fn() {
    using namespace = new TestNamespace();
    namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    namespace.ip("link", "set", "tap0", "mtu", "9000");
    const tap = openTap({ name: "tap0", netns: namespace.name, headerSize });
    assert.equal(tap.mtu, 9000);
    closeFd(tap.fd);
  },
}));

Deno.test(needing([NETWORKS], {
  name:
    "openTap: a TAP that is missing or in use, and an interface that is none",
  fn() {
    using namespace = new TestNamespace();
    assert.match(
      refusal("tap0", namespace.name),
      /ENODEV .*ip tuntap add tap0/,
    );
    assert.throws(() => namespace.ip("link", "show", "tap0"), "it was made");
    namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    const tap = openTap({ name: "tap0", netns: namespace.name, headerSize });
    const busy = refusal("tap0", namespace.name);
    assert.match(busy, /attach to TAP "tap0": EBUSY .*another program/);
    assert.match(refusal("lo", namespace.name), /attach to TAP "lo": EINVAL/);
    closeFd(tap.fd);
  },
}));

Deno.test(needing([NETWORKS], {
  name: "setTapOffload: TSO needs checksums",
  fn() {
    using namespace = new TestNamespace();
    namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    const { fd } = openTap({ name: "tap0", netns: namespace.name, headerSize });
    const { CSUM, TSO4, TSO6, TSO_ECN } = TapOffload;
    setTapOffload(fd, CSUM | TSO4 | TSO6 | TSO_ECN);
    setTapOffload(fd, 0);
    assert.throws(() => setTapOffload(fd, TSO4), /TUNSETOFFLOAD: EINVAL/);
    closeFd(fd);
  },
}));

Deno.test(needing([NETWORKS], {
  name: "openTap: several queues, of a TAP that was made for them",
  fn() {
    using namespace = new TestNamespace();
    const netns = namespace.name;
    const open = (name: string) =>
      openTap({ name, netns, headerSize, multiQueue: true });
    namespace.ip("tuntap", "add", "tap0", "mode", "tap");
    assert.throws(
      () => open("tap0"),
      /EINVAL .*ip tuntap add tap0 mode tap mu/,
    );
    namespace.ip("tuntap", "add", "tap1", "mode", "tap", "multi_queue");
    const queues = Array.from({ length: 4 }, () => open("tap1"));
    setTapQueue(queues[2]!.fd, false);
    assert.throws(
      () => setTapQueue(queues[2]!.fd, false),
      /TUNSETQUEUE: EINVAL/,
    );
    setTapQueue(queues[2]!.fd, true);
    for (const { fd } of queues) closeFd(fd);
    const alone = openTap({ name: "tap1", netns, headerSize });
    closeFd(alone.fd);
  },
}));
