/**
 * For tests: the host's pool of huge pages.
 *
 * @module
 */
import { type Need, root } from "../../ffi/testing/needs.ts";

const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/** Huge pages for the time of a test. */
export class HugePages implements Disposable {
  readonly #before = poolSize();

  /** At least `count` that are free. */
  constructor(count: number) {
    const free = Number(Deno.readTextFileSync(`${POOL}/free_hugepages`));
    setPoolSize(this.#before + Math.max(count - free, 0));
  }

  /** The pool is as it was. */
  [Symbol.dispose](): void {
    setPoolSize(this.#before);
  }
}

function poolSize(): number {
  return Number(Deno.readTextFileSync(`${POOL}/nr_hugepages`));
}

function setPoolSize(pages: number): void {
  Deno.writeTextFileSync(`${POOL}/nr_hugepages`, `${pages}`);
}

/** The right to say how large the pool is. */
export const POOL_SIZE: Need = {
  missing() {
    const noRoot = root("fills the host's pool of huge pages").missing();
    if (noRoot !== "") return noRoot;
    try {
      Deno.openSync(`${POOL}/nr_hugepages`, { write: true }).close();
      return "";
    } catch (error) {
      return `the host's pool of huge pages: ${(error as Error).message}`;
    }
  },
};
