/**
 * For tests: init's agent as a process of this host, and a guest whose agent
 * says what the test wants.
 *
 * @module
 */
import { errno } from "../../ffi/errno.ts";
import { closeFd, duplicateFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { Poll, pollFd } from "../../ffi/poll.ts";
import { CommandLog } from "../../images/linux/logged_command.ts";
import { compileProgram } from "../../images/linux/program.ts";
import { MAIN } from "./command.ts";
import type { AgentMachine } from "../agent/mod.ts";

const F_DUPFD = 0, EAGAIN = 11;

/** A command of this host's has this in its command line; none of Vireo's. */
export function runs(mark: string): boolean {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
      const words = line.replaceAll("\0", " ");
      if (words.includes(mark) && !words.includes(MAIN)) return true;
    } catch {
      // it has ended
    }
  }
  return false;
}

/** The agent, compiled. */
export class AgentProgram implements Disposable {
  readonly #dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  /** Where it is. */
  readonly path = `${this.#dir}/agent`;

  /** Compiles it. */
  static async make(): Promise<AgentProgram> {
    const made = new AgentProgram();
    using log = new CommandLog(`${made.#dir}/log`);
    await compileProgram(log, "testing/agent.c", made.path);
    return made;
  }

  /** Runs it over a copy of the socket `fd`. */
  start(fd: number): Deno.ChildProcess {
    const inherited = libc.fcntl(fd, F_DUPFD, 200);
    try {
      return new Deno.Command(this.path, {
        args: [`${inherited}`],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
    } finally {
      closeFd(inherited);
    }
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

/** A guest that is the agent and nothing else. */
export class AgentGuest implements AgentMachine, AsyncDisposable {
  readonly #program: AgentProgram;
  readonly #children: Deno.ChildProcess[] = [];

  /** It begins with its first session; each further one is another guest's. */
  constructor(program: AgentProgram) {
    this.#program = program;
  }

  /** The process of the newest. */
  get child(): Deno.ChildProcess {
    return this.#children.at(-1)!;
  }

  // deno-lint-ignore require-await
  async command(_device: string, command: unknown): Promise<void> {
    const { fd } = command as { fd: number };
    this.#children.push(this.#program.start(fd));
  }

  wait(): Promise<unknown> {
    return Promise.resolve();
  }

  /** Kills it. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      try {
        child.kill("SIGKILL");
      } catch {
        // it has ended
      }
      await child.status;
    }
  }
}

/** A guest whose agent is the test. */
export class PlayedGuest implements AgentMachine, Disposable {
  /** Sessions that were begun. */
  sessions = 0;
  #fd = -1;
  #heard: Uint8Array<ArrayBuffer> = new Uint8Array();

  // deno-lint-ignore require-await
  async command(_device: string, command: unknown): Promise<void> {
    this.hangUp();
    this.#fd = duplicateFd((command as { fd: number }).fd);
    this.#heard = new Uint8Array();
    this.sessions++;
  }

  wait(): Promise<unknown> {
    return Promise.resolve();
  }

  /** Says something. */
  say(bytes: Uint8Array<ArrayBuffer>): void {
    libc.write_u32(this.#fd, bytes, bytes.length);
  }

  /** All that it was told in this session, once `enough` has come. */
  async heard(
    enough: (all: Uint8Array<ArrayBuffer>) => boolean,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const stage = new Uint8Array(16384);
    while (!enough(this.#heard)) {
      if (this.#fd < 0) {
        await new Promise((done) => setTimeout(done, 2));
        continue;
      }
      await pollFd(this.#fd, Poll.IN);
      const count = libc.read_u32(this.#fd, stage, stage.length);
      if (count < 0 && errno() === EAGAIN) continue;
      if (count <= 0) throw new Error("the host has hung up");
      const heard = new Uint8Array(this.#heard.length + count);
      heard.set(this.#heard);
      heard.set(stage.subarray(0, count), this.#heard.length);
      this.#heard = heard;
    }
    return this.#heard;
  }

  /** Its end of the socket is gone. */
  hangUp(): void {
    if (this.#fd >= 0) closeFd(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.hangUp();
  }
}
