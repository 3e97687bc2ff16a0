/**
 * For tests: a control socket whose machine is init's agent, as a process of
 * this host, and nothing else.
 *
 * @module
 */
import { Agent } from "../agent/mod.ts";
import type { GuestProcess, SpawnOptions } from "../agent/mod.ts";
import { answerTo } from "../controller/requests.ts";
import { ControlServer } from "../controller/server.ts";
import { MockMachine } from "../controller/testing/mock_machine.ts";
import { AgentGuest, AgentProgram } from "./agent.ts";

class AgentMock extends MockMachine {
  readonly #agent: Agent;

  constructor(agent: Agent) {
    super();
    this.#agent = agent;
  }

  override spawn(
    command: string[],
    options: SpawnOptions,
  ): Promise<GuestProcess> {
    // Its default, /root, is not everybody's.
    return this.#agent.spawn(command, { cwd: "/tmp", ...options });
  }
}

/** It, until the end of its scope. */
export class ExecServer implements AsyncDisposable {
  /** Where it listens. */
  readonly path: string;
  /** The machine. */
  readonly machine: MockMachine;
  /** The guest. */
  readonly guest: AgentGuest;
  readonly #folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly #program: AgentProgram;
  readonly #server: ControlServer;

  private constructor(program: AgentProgram) {
    this.#program = program;
    this.path = `${this.#folder}/1.sock`;
    this.guest = new AgentGuest(program);
    this.machine = new AgentMock(new Agent(this.guest));
    const { controller } = this.machine;
    this.#server = new ControlServer(
      this.path,
      (line, asker) => answerTo(controller, line, asker),
    );
  }

  /** Makes it. */
  static async make(): Promise<ExecServer> {
    return new ExecServer(await AgentProgram.make());
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server[Symbol.dispose]();
    await this.guest[Symbol.asyncDispose]();
    this.#program[Symbol.dispose]();
    Deno.removeSync(this.#folder, { recursive: true });
  }
}
