/** What the kernel's patch does for programs, as they can see it. */
import assert from "node:assert/strict";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { knownHost } from "../../probe/known_host.ts";
import { LINUX } from "../testing/prepared.ts";
import { cacheFolder } from "./cache.ts";

/** Page faults of the shell and of its children: proc(5), stat, 10 and 11. */
const FAULTS = 'read -r x </proc/$$/stat; echo "$x"';
const RUNS = 4;

/** How many a command makes, the first time and later. */
async function faultsOf(
  guest: LinuxGuest,
  command: string,
): Promise<{ shell: number; children: number }[]> {
  const count = async () => {
    const fields = (await guest.run(FAULTS)).split(" ");
    return { shell: Number(fields[9]), children: Number(fields[10]) };
  };
  const faults = [];
  for (let before = await count(); faults.length < RUNS;) {
    await guest.run(command);
    const after = await count();
    faults.push({
      shell: after.shell - before.shell,
      children: after.children - before.children,
    });
    before = after;
  }
  return faults;
}

Deno.test(needing([KVM, LINUX], {
  name: "vireo.patch: pages that a program has used are mapped around a fault",
  async fn() {
    await using guest = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64 },
    });
    const counts = (await faultsOf(guest, "/bin/true"))
      .map(({ children }) => children);
    const [first, ...later] = counts as [number, ...number[]];
    assert.ok(first > 0, `${counts}`);
    // On VT-x and AMD-V all pages are mapped, used before or not.
    const { emulatesKernel } = await knownHost(cacheFolder());
    const most = emulatesKernel ? first * 9 / 10 : first;
    assert.ok(later.every((count) => count <= most), `${counts}`);
  },
}));

Deno.test(needing([KVM, LINUX], {
  name:
    "vireo.patch: a shell's child has what the shell used, and its own data",
  async fn() {
    await using guest = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64 },
    });
    const seen = await guest.run(
      "x=0; i=0; while [ $i -lt 9 ]; do i=$((i+1)); " +
        "(x=$((x+100)); echo -n $x,); x=$((x+1)); done; echo $x",
    );
    const inChildren = Array.from({ length: 9 }, (_, i) => i + 100);
    assert.equal(seen, [...inChildren, 9].join(","));
    const [, ...later] = await faultsOf(guest, "(:)");
    const { emulatesKernel } = await knownHost(cacheFolder());
    const few = ({ shell, children }: { shell: number; children: number }) =>
      shell + children <= 5;
    // Elsewhere pages are copied when one of the two writes to them.
    assert.equal(later.every(few), emulatesKernel, JSON.stringify(later));
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "vireo.patch: who fills memory finds the next pages there",
  async fn() {
    await using guest = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64 },
    });
    const pages = 512;
    // An array of words is filled in user mode.
    const fill = `shuf -n 1 -i 1-${pages * 4096 / 8} >&-`;
    const [, ...later] = await faultsOf(guest, fill);
    const { emulatesKernel } = await knownHost(cacheFolder());
    const few = later.every(({ children }) => children < pages / 2);
    assert.equal(few, emulatesKernel, JSON.stringify(later));
  },
}));
