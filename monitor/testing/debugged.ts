/**
 * For tests: machines that gdb can attach to.
 *
 * @module
 */
import { until } from "../../ffi/testing/until.ts";
import { TestMachine } from "../../vmm/testing/mod.ts";
import { COUNTS } from "../../vmm/testing/tiny_guest.ts";

/** A guest that gdb can attach to. */
export interface Debugged extends AsyncDisposable {
  /** The machine, which is not started. */
  test: TestMachine;
  /** Where gdb attaches. */
  target: string;
  /** What its server has said. */
  log: string[];
}

/** A machine with such a kernel, and a server. */
export async function debugged(
  kernel: Uint8Array<ArrayBuffer> = COUNTS,
  { cpus = 1, words = "", tcp = false } = {},
): Promise<Debugged> {
  const folder = Deno.makeTempDirSync();
  const test = await TestMachine.create({
    "boot-source": { kernel_image_path: kernel, boot_args: words },
    "machine-config": { mem_size_mib: 16, vcpu_count: cpus },
  });
  const log: string[] = [];
  const { target } = await test.machine.gdb({
    address: tcp
      ? { hostname: "127.0.0.1", port: 0 }
      : { path: `${folder}/gdb.sock` },
    onLog: (line) => log.push(line),
  });
  return {
    ...{ test, target, log },
    async [Symbol.asyncDispose]() {
      await test[Symbol.asyncDispose]();
      Deno.removeSync(folder, { recursive: true });
    },
  };
}

/** Waits until it prints more. */
export async function prints(test: TestMachine): Promise<void> {
  const before = test.output.length;
  await until(() => test.output.length > before, "output", () => test.output);
}
