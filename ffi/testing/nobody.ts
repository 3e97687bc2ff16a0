/**
 * For tests: programs without root's rights, started by root.
 *
 * @module
 */

/** What `setpriv` needs before a program's name, to make it nobody's. */
const NOBODY = ["--reuid=65534", "--clear-groups"];
/**
 * The one right that stays: to find and read this program and these sources,
 * which may lie in root's own folder. It opens nothing for writing.
 */
const RIGHTS = "-all,+dac_read_search";

/**
 * Runs a Deno program that may write what everybody may.
 *
 * @param program its source
 * @param home a folder for what Deno keeps, writable for everybody
 */
export function denoAsNobody(
  program: string,
  home: string,
): Promise<Deno.CommandOutput> {
  return new Deno.Command("setpriv", {
    args: [
      ...NOBODY,
      `--bounding-set=${RIGHTS}`,
      `--inh-caps=${RIGHTS}`,
      `--ambient-caps=${RIGHTS}`,
      ...["--", Deno.execPath(), "eval", program],
    ],
    env: { NO_COLOR: "1", DENO_DIR: `${home}/deno`, HOME: home },
  }).output();
}
