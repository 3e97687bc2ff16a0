/**
 * A command in the guest of a machine of another process, by its control
 * socket: after the answer to `exec`, the connection is the command's.
 *
 * @module
 */
import { Errno, errno } from "../../ffi/errno.ts";
import { VireoError } from "../../ffi/error.ts";
import { closeFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { Poll, pollFd } from "../../ffi/poll.ts";
import { connectUnix } from "../../ffi/unix_socket.ts";
import { GuestProcess } from "../agent/process.ts";
import { type Frame, From, Nonsense } from "../agent/protocol.ts";
import { type ChannelUser, Session } from "../agent/session.ts";
import { resultIn } from "./client.ts";
import type { ExecParams } from "./requests.ts";

/** The longest answer in bytes. */
const ANSWER_MAX = 64 * 1024;

/**
 * Starts a command; resolves when it runs.
 *
 * @param path the machine's control socket
 * @param gone gives it up, also while it has not begun
 * @throws {VireoError} it can't run, or was given up
 */
export async function startCommand(
  path: string,
  params: ExecParams,
  gone?: AbortSignal,
): Promise<GuestProcess> {
  const fd = connectUnix(path);
  if (fd < 0) throw new VireoError(`"${path}": no machine listens here`);
  using undo = new DisposableStack();
  let owned = true; // until the session has it
  undo.defer(() => owned && closeFd(fd));
  const line = JSON.stringify({ method: "exec", params });
  await writeAll(fd, new TextEncoder().encode(`${line}\n`));
  resultIn(await readLine(fd));
  owned = false;
  const session = new Session(fd);
  const give = () => session.close("it was given up before it began");
  if (gone?.aborted) give();
  gone?.addEventListener("abort", give);
  undo.defer(() => gone?.removeEventListener("abort", give));
  const command = new Starting(session);
  command.process.begin(await session.open(command));
  return await command.begun.promise;
}

/** A command that may not have begun. */
class Starting implements ChannelUser {
  readonly process: GuestProcess;
  readonly begun: PromiseWithResolvers<GuestProcess> = Promise.withResolvers();
  #begun = false;

  constructor(session: Session) {
    this.process = new GuestProcess(session);
  }

  take(frame: Frame): boolean {
    if (frame.type === From.FAILED) {
      this.lost(new VireoError(new TextDecoder().decode(frame.bytes)));
      return true;
    }
    if (this.#begun) return this.process.take(frame);
    if (frame.type !== From.HELLO) throw new Nonsense("it has not begun");
    this.#begun = true;
    this.begun.resolve(this.process);
    return false;
  }

  lost({ message }: VireoError): void {
    const error = new VireoError(message.replace(/^exec: /, ""));
    this.begun.reject(new VireoError(`exec: ${error.message}`));
    this.process.lost(error);
  }
}

async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const rest = new Uint8Array(bytes.subarray(done));
    const count = libc.write_u32(fd, rest, rest.length);
    if (count >= 0) done += count;
    else if (errno() === Errno.EAGAIN) await pollFd(fd, Poll.OUT);
    else throw new VireoError("the machine has ended");
  }
}

/** A byte at a time: what is behind the line is the command's. */
async function readLine(fd: number): Promise<string> {
  const byte = new Uint8Array(1);
  const line: number[] = [];
  while (line.at(-1) !== 10) {
    const count = libc.read_u32(fd, byte, 1);
    if (count > 0) line.push(byte[0]!);
    else if (count < 0 && errno() === Errno.EAGAIN) await pollFd(fd, Poll.IN);
    else throw new VireoError("the machine has ended");
    if (line.length > ANSWER_MAX) throw new VireoError("its answer is endless");
  }
  return new TextDecoder().decode(Uint8Array.from(line));
}
