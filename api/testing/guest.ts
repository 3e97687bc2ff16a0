/**
 * For tests: a guest that is made by requests, and files for it.
 *
 * @module
 */
import type { TestApi } from "./test_api.ts";

/** A folder for a test's files. */
export class TestFolder implements Disposable {
  /** Where it is. */
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });

  /** Writes a file; returns its path. */
  file(name: string, content: Uint8Array = new Uint8Array(1 << 20)): string {
    Deno.writeFileSync(`${this.path}/${name}`, content);
    return `${this.path}/${name}`;
  }

  /** Removes all of it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Starts a machine of one vCPU and 16 MiB. */
export async function startGuest(
  test: TestApi,
  kernel: string,
  boot_args = "",
  more: object = {},
): Promise<void> {
  const machine = { vcpu_count: 1, mem_size_mib: 16, ...more };
  await test.good("PUT", "/machine-config", machine);
  const source = { kernel_image_path: kernel, boot_args };
  await test.good("PUT", "/boot-source", source);
  await test.good("PUT", "/actions", { action_type: "InstanceStart" });
}
