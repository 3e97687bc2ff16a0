/**
 * Folders for files that are gone at the end.
 *
 * @module
 */
import { VireoError } from "./error.ts";

/**
 * A new folder in `TMPDIR`; whoever asks for it removes it.
 *
 * @throws {VireoError} none can be made there
 */
export function temporaryFolder(prefix: string): string {
  try {
    return Deno.makeTempDirSync({ prefix });
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const folder = Deno.env.get("TMPDIR") ?? "/tmp";
    const { code } = error as { code?: string };
    throw new VireoError(
      `"${folder}" takes no temporary files (${code}); set TMPDIR to one ` +
        "that does",
    );
  }
}
