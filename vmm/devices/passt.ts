/**
 * passt(1), which gives a guest the host's network without a TAP and without
 * root: it turns the guest's connections into sockets of its own.
 *
 * @module
 */
import { errnoName } from "../../ffi/errno.ts";
import { packageOf } from "../../ffi/packages.ts";
import { closeFd } from "../../ffi/file.ts";
import { connectSocket, unixSocket } from "../../ffi/unix_socket.ts";
import { VireoError } from "../../ffi/error.ts";
import { temporaryFolder } from "../../ffi/temporary.ts";

const PASST = "passt";
const NOBODY = 65534;

/**
 * Starts a passt, and connects to it. It ends when the socket is closed,
 * whatever becomes of this process.
 *
 * @returns the connected socket
 * @throws {VireoError} it is not installed, or refuses to start
 */
export function startPasst(): number {
  using undo = new DisposableStack(); // unless it is connected
  // Made first: a passt to which nobody connects waits for ever.
  const fd = undo.adopt(unixSocket(), closeFd);
  const folder = temporaryFolder("vireo-passt-");
  const socket = `${folder}/socket`;
  try {
    letNobodyIn(folder);
    // It goes into the background once it listens.
    run(["--one-off", "--quiet", "--socket", socket]);
    const code = connectSocket(fd, socket);
    if (code !== 0) {
      throw new VireoError(`passt: connect to it: ${errnoName(code)}`);
    }
  } finally {
    // Connected, it needs no name any more.
    Deno.removeSync(folder, { recursive: true });
  }
  undo.move();
  return fd;
}

/** Started by root, passt makes its socket as the user nobody. */
function letNobodyIn(folder: string): void {
  if (Deno.uid() !== 0) return;
  try {
    Deno.chownSync(folder, NOBODY, NOBODY);
  } catch {
    // A user namespace without that user: passt then stays what it is.
  }
}

function run(args: string[]): void {
  let output: Deno.CommandOutput;
  try {
    output = new Deno.Command(PASST, { args, stdin: "null" }).outputSync();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new VireoError(
      `passt is not installed; on Debian: apt-get install ${packageOf(PASST)}`,
    );
  }
  if (output.success) return;
  const said = new TextDecoder().decode(output.stderr).trim().split("\n");
  throw new VireoError(`passt: ${said.at(-1) || `exit code ${output.code}`}`);
}
