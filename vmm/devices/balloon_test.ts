/** What a configuration may say of a balloon. */
import assert from "node:assert/strict";
import { VireoError } from "../../ffi/error.ts";
import { balloonOptions } from "./balloon.ts";
import type { VmConfig } from "../config/types.ts";

const config: VmConfig = {
  "boot-source": { kernel_image_path: "vmlinux" },
  "machine-config": { mem_size_mib: 64 },
};

Deno.test("balloon: at most the guest's memory, and an interval in seconds", () => {
  const options = (amount_mib: number, stats_polling_interval_s?: number) =>
    balloonOptions(
      { amount_mib, deflate_on_oom: true, stats_polling_interval_s },
      config,
    );
  assert.deepEqual(options(64), {
    mib: 64,
    statsInterval: 0,
    deflateOnOom: true,
    reporting: undefined,
    hinting: undefined,
  });
  for (const mib of [-1, 65, 0.5, NaN]) {
    assert.throws(
      () => options(mib),
      new VireoError(
        `balloon: ${mib} MiB is not 0 to 64, the guest's memory`,
      ),
    );
  }
  assert.throws(() => options(1, -1), /interval of -1 s/);
});

Deno.test("balloon: memory from the pool of huge pages has none", () => {
  const balloon = { amount_mib: 0, deflate_on_oom: true };
  assert.throws(
    () =>
      balloonOptions(balloon, {
        ...config,
        "machine-config": { mem_size_mib: 64, huge_pages: "2M" },
      }),
    /^VireoError: balloon: memory from the host's pool/,
  );
});
