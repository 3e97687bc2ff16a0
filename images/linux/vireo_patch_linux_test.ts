/** What the kernel's patch does for programs, as they can see it. */
import assert from "node:assert/strict";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { knownHost } from "../../probe/known_host.ts";
import { LINUX } from "../testing/prepared.ts";
import { cacheFolder } from "./cache.ts";

const RUNS = 4;

Deno.test(needing([KVM, LINUX], {
  name: "vireo.patch: pages that a program has used are mapped around a fault",
  async fn() {
    await using guest = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64 },
    });
    // Field 11 of proc(5)'s stat: page faults of the shell's children.
    const all = async () =>
      Number(
        (await guest.run('read -r x </proc/$$/stat; echo "$x"')).split(" ")[10],
      );
    const faults: number[] = [];
    for (let before = await all(); faults.length < RUNS;) {
      await guest.run("head -c 1 /dev/zero >&-");
      const after = await all();
      faults.push(after - before);
      before = after;
    }
    const [first, ...later] = faults as [number, ...number[]];
    assert.ok(first > 0, `${faults}`);
    // On VT-x and AMD-V all pages are mapped, used before or not.
    const { emulatesKernel } = await knownHost(cacheFolder());
    const most = emulatesKernel ? first * 3 / 4 : first;
    assert.ok(later.every((count) => count <= most), `${faults}`);
  },
}));
