/** The prepared Linux in passt's network. */
import assert from "node:assert/strict";
import { KVM, needing, TUN } from "../../ffi/testing/needs.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { MAIN } from "../testing/command.ts";

/** The host's side, in a user and a network namespace of its own. */
const PASST_SCRIPT = `
  ip tuntap add out mode tap
  ip address add 10.119.0.2/24 dev out
  ip link set out up; ip link set lo up
  ip route add default via 10.119.0.1
  "$DENO" eval 'Deno.serve({ hostname: "127.0.0.1", port: 8000 },
    () => new Response("from the loopback"))' >/dev/null 2>&1 &
  server=$!
  "$DENO" run -A "$MAIN" boot --quiet --memory 64M --net passt \\
    --cmdline 'ip=10.119.0.2::10.119.0.1:255.255.255.0::eth0:off' \\
    --exec 'i=0; until wget -q -O - http://10.119.0.1:8000/; do
      i=$((i + 1)); [ $i -lt 120 ] || break; sleep 1; done; echo'
  status=$?
  kill $server
  exit $status`;

Deno.test(needing([KVM, LINUX, TUN, "passt", "unshare", "ip"], {
  name: "Linux: passt lets the guest fetch from the host's loopback",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _dir = { [Symbol.dispose]: () => Deno.removeSync(dir) };
    const { success, stdout, stderr } = await new Deno.Command("unshare", {
      args: ["--user", "--map-root-user", "--net", "sh", "-c", PASST_SCRIPT],
      env: { DENO: Deno.execPath(), MAIN, NO_COLOR: "1", TMPDIR: dir },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.ok(success, text(stdout) + text(stderr));
    assert.match(text(stdout), /^from the loopback$/m);
    assert.deepEqual([...Deno.readDirSync(dir)], [], "nothing stays behind");
  },
}));
