/**
 * For tests: waiting for what a guest, a thread or a program does.
 *
 * @module
 */

/** How long anything may take: the host may be slow, and crowded. */
const PATIENCE_MS = 600_000;

/** Waits for `condition`; says what there was instead when it never comes. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  instead: () => unknown = () => "",
): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`no ${what}: ${await instead()}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
