/**
 * For tests: a cache of machines that go on from where they asked, of the test's
 * own.
 *
 * @module
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { denoFolder } from "../../ffi/deno_folder.ts";
import { exists } from "../../ffi/file.ts";
import { prepared } from "../../images/linux/prepare.ts";
import {
  startVireo,
  vireo,
  type VireoResult,
} from "../../vmm/testing/command.ts";
import { listEntries } from "../instant/cache.ts";

/** A cache of its own, with links to what is prepared. */
export class InstantCache implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly env = { XDG_CACHE_HOME: this.dir, DENO_DIR: denoFolder() };

  static async make(
    variant: "small" | "full" = "small",
  ): Promise<InstantCache> {
    const cache = new InstantCache();
    Deno.mkdirSync(`${cache.dir}/vireo`);
    const { kernel, rootfs } = (await prepared(variant))!;
    for (const path of [kernel, rootfs]) {
      Deno.symlinkSync(path, `${cache.dir}/vireo/${basename(path)}`);
    }
    return cache;
  }

  get instant(): string {
    return `${this.dir}/vireo/instant`;
  }

  /** The only machine in it. */
  get entry(): string {
    const [one, ...others] = listEntries(this.instant);
    assert.deepEqual(others, []);
    return one!.folder;
  }

  /** All that is in it. */
  get names(): string[] {
    if (!exists(this.instant)) return [];
    return [...Deno.readDirSync(this.instant)].map(({ name }) => name);
  }

  boot(args: string[], input?: string): Promise<VireoResult> {
    return vireo(["boot", "--memory", "64M", ...args], input, this.env);
  }

  /** A boot that is not over yet. */
  start(args: string[]): Deno.ChildProcess {
    return startVireo(["boot", "--memory", "64M", ...args], this.env);
  }

  /** Boots twice: nothing is kept yet, and then it is. */
  async twice(
    args: (turn: number) => string[],
    input?: string,
  ): Promise<[VireoResult, VireoResult]> {
    const cold = await this.boot(args(0), input);
    assert.ok(this.entry, `nothing is kept: ${cold.stderr}`);
    const { memory } = this;
    const instant = await this.boot(args(1), input);
    assert.equal(this.memory, memory, "kept again");
    return [cold, instant];
  }

  /** Its file of memory; another when it is kept again. */
  get memory(): string | undefined {
    return [...Deno.readDirSync(this.entry)].map(({ name }) => name)
      .find((name) => name.startsWith("memory-"));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}
