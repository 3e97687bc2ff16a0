/** Words of the command line. */
import assert from "node:assert/strict";
import { VireoError } from "../ffi/error.ts";
import { devicesOf } from "./device_options.ts";
import { parseBalloon } from "../vmm/devices/balloon.ts";
import { parseConsole } from "../vmm/devices/console.ts";
import { parseNet, withPcap } from "../vmm/devices/net.ts";

Deno.test("--balloon: a size, and what else it is to do", () => {
  assert.deepEqual(parseBalloon("64"), {
    amount_mib: 64,
    deflate_on_oom: false,
  });
  assert.deepEqual(parseBalloon("0,oom,stats=5,reporting,hinting"), {
    amount_mib: 0,
    deflate_on_oom: true,
    stats_polling_interval_s: 5,
    free_page_reporting: true,
    free_page_hinting: true,
  });
  for (const text of ["", "x", "64,pop", "64,stats=", "64,stats=x"]) {
    assert.throws(() => parseBalloon(text), VireoError, text);
  }
});

Deno.test("--console and --port: a device only when there is something for it", () => {
  assert.equal(parseConsole("serial"), undefined);
  assert.deepEqual(parseConsole("virtio"), { main: true, ports: [] });
  assert.deepEqual(parseConsole(undefined, ["a=/tmp/x=y"]), {
    main: false,
    ports: [{ name: "a", path: "/tmp/x=y" }],
  });
  assert.throws(() => parseConsole("vga"), VireoError);
  for (const port of ["a", "a=", "=b"]) {
    assert.throws(() => parseConsole("virtio", [port]), VireoError, port);
  }
});

Deno.test("--net: where frames go, and what goes with it", () => {
  const iface_id = "eth1";
  const net = (text: string) => parseNet(text, 1);
  assert.deepEqual(net("tap=t0,netns=n,queues=4,mac=02:00:00:00:00:01"), {
    iface_id,
    host_dev_name: "t0",
    netns: "n",
    queues: 4,
    guest_mac: "02:00:00:00:00:01",
  });
  assert.deepEqual(net("passt,pcap=/a=b"), {
    iface_id,
    passt: true,
    pcap: "/a=b",
  });
  assert.deepEqual(net("passt=/s"), { iface_id, socket: "/s" });
  const { handler } = net(`handler=${new URL(import.meta.url).pathname}`);
  assert.equal(handler, import.meta.url);
});

Deno.test("--net: what is wrong is said", () => {
  const wrong: [string, RegExp][] = [
    ["foo=1", /"foo=1" is not one of tap=NAME/],
    ["tap", /"tap" is not one of/],
    ["tap=", /"tap=" is not one of/],
    ["toString=1", /"toString=1" is not one of/],
    ["mac=02:00:00:00:00:01", /one of tap=NAME, passt/],
    ["tap=t,passt", /one of tap=NAME, passt/],
    ["passt,queues=2", /queues only with tap/],
    ["handler=none.ts,netns=n", /handler none\.ts: no such file/],
    ["tap=t,queues=x", /queues x: not a whole number/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(() => parseNet(text, 0), { name: "VireoError", message });
  }
});

Deno.test("--pcap: is that of the only network", () => {
  const one = parseNet("tap=t", 0);
  assert.deepEqual(withPcap([one], "f"), [{ ...one, pcap: "f" }]);
  assert.deepEqual(withPcap([one, one], undefined), [one, one]);
  for (const networks of [[], [one, one]]) {
    const message = /add pcap=FILE to the --net/;
    assert.throws(() => withPcap(networks, "f"), { message });
  }
});

Deno.test("options: a comma in a path is written twice, wherever commas part words", () => {
  const of = (words: Record<string, unknown>) =>
    devicesOf({ disk: [], net: [], device: [], ...words });
  const paths = (disk: string) => {
    const [drive] = of({ disk: [disk] }).drives!;
    return [drive!.path_on_host, drive!.is_read_only];
  };
  assert.deepEqual(paths("/a,,b,ro"), ["/a,b", true]);
  assert.deepEqual(paths("/a,,,ro"), ["/a,", true]);
  assert.deepEqual(paths(",,,,ro"), [",,ro", false]);
  assert.throws(() => paths("/a,b"), /unknown word "b"/);
  assert.deepEqual(
    of({ net: ["passt=/a,,b,pcap=/c,,d=e"] })["network-interfaces"],
    [{ iface_id: "eth0", socket: "/a,b", pcap: "/c,d=e" }],
  );
  const vsock = (text: string) => of({ vsock: text }).vsock;
  const expected = { guest_cid: 5, uds_path: "/a,b" };
  assert.deepEqual(vsock("cid=5,uds=/a,,b"), expected);
  assert.deepEqual(vsock("uds=/a,,b,cid=5"), expected);
  assert.throws(() => vsock("uds=/a,b"), /not of the form cid=3,uds=PATH/);
  // Nothing is parted here.
  assert.deepEqual(of({ port: ["p=/a,b"], console: "serial" }).console?.ports, [
    { name: "p", path: "/a,b" },
  ]);
});
