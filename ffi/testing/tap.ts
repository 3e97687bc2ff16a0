/**
 * For tests: a network namespace that ends with the test.
 *
 * @module
 */

let count = 0;

/** A named network namespace with nothing in it. */
export class TestNamespace implements Disposable {
  /** Its name, as `ip netns` and `openTap` take it. */
  readonly name: string = `vireo-test-${Deno.pid}-${count++}`;

  /** Makes it. */
  constructor() {
    run("netns", "add", this.name);
  }

  /** Runs `ip` inside; throws when it fails. */
  ip(...args: string[]): void {
    run("-n", this.name, ...args);
  }

  /** Deletes it; what still has it open keeps it alive. */
  [Symbol.dispose](): void {
    run("netns", "delete", this.name);
  }
}

function run(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (success) return;
  throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}
