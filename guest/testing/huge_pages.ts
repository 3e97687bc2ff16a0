/**
 * For tests: the host's pool of huge pages.
 *
 * @module
 */
import { type Need, root } from "../../ffi/testing/needs.ts";

const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/**
 * Huge pages for the time of a test. There is one pool for all processes: who
 * makes it as it was would take what another one needs. So they wait.
 */
export class HugePages implements Disposable {
  readonly #lock = Deno.openSync(`${POOL}/nr_hugepages`);
  readonly #before: number;

  /** At least `count` that are free. */
  constructor(count: number) {
    this.#lock.lockSync(true);
    this.#before = poolSize();
    const free = Number(Deno.readTextFileSync(`${POOL}/free_hugepages`));
    setPoolSize(this.#before + Math.max(count - free, 0));
  }

  /** The pool is as it was. */
  [Symbol.dispose](): void {
    setPoolSize(this.#before);
    this.#lock.close();
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
