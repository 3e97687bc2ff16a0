/** Commands by the control socket, and clients of every kind. */
import assert from "node:assert/strict";
import { needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { encodeFrame, INPUT_WINDOW, pieces, To } from "../agent/protocol.ts";
import { runs } from "../testing/agent.ts";
import { ExecServer } from "../testing/exec_server.ts";
import { startCommand } from "./command.ts";

const encoder = new TextEncoder();
const HELLO = Uint8Array.of(1, 0, 0, 0, 0xa5);

/** A client that says what the test wants. */
class Client implements Disposable {
  readonly #connection: Deno.UnixConn;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
  }

  static async to(path: string): Promise<Client> {
    return new Client(await Deno.connect({ transport: "unix", path }));
  }

  /** One whose command runs. */
  static async running(path: string, ...command: string[]): Promise<Client> {
    const client = await Client.to(path);
    const request = { method: "exec", params: { command } };
    await client.say(encoder.encode(`${JSON.stringify(request)}\n`));
    const answer = encoder.encode('{"result":null}\n').length;
    await client.hear(answer + HELLO.length);
    return client;
  }

  async say(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += await this.#connection.write(bytes.subarray(done));
    }
  }

  /** So many bytes, or all until it is closed. */
  async hear(count = Infinity): Promise<string> {
    let text = "";
    while (text.length < count) {
      const chunk = new Uint8Array(Math.min(count - text.length, 65536));
      const got = await this.#connection.read(chunk).catch(() => null);
      if (got === null) break;
      text += new TextDecoder("latin1").decode(chunk.subarray(0, got));
    }
    return text;
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

Deno.test(needing(["gcc"], {
  name:
    "exec by the control socket: a client's nonsense ends its command, and no other",
  async fn() {
    await using server = await ExecServer.make();
    const { path } = server;
    const frame = encodeFrame;
    // Some of it is taken: windows on the way, and what the pipe has room for.
    const flood = [...pieces(new Uint8Array(64 * INPUT_WINDOW))]
      .flatMap((piece) => [...frame(To.INPUT, 0, piece)]);
    const wrong: [what: string, bytes: Uint8Array][] = [
      ["no frame", new Uint8Array(64).fill(255)],
      ["another channel", frame(To.INPUT, 1, Uint8Array.of(1))],
      ["an unknown type", frame(77, 0)],
      ["arguments", frame(To.ARGUMENTS, 0, encoder.encode("aid\0"))],
      ["too much input", Uint8Array.from(flood)],
      ["half a credit", frame(To.CREDIT, 0, Uint8Array.of(1, 1))],
      [
        "credit of no stream",
        frame(To.CREDIT, 0, Uint8Array.of(9, 1, 0, 0, 0)),
      ],
      ["more credit", frame(To.CREDIT, 0, Uint8Array.of(1, 1, 0, 0, 0))],
      ["no signal", frame(To.SIGNAL, 0)],
      ["signal 0", frame(To.SIGNAL, 0, Uint8Array.of(0))],
      ["signal 99", frame(To.SIGNAL, 0, Uint8Array.of(99))],
      ["an odd size", frame(To.SIZE, 0, Uint8Array.of(1, 2, 3))],
    ];
    await using other = await startCommand(path, { command: ["cat"] });
    for (const [index, [what, bytes]] of wrong.entries()) {
      const mark = `9${Deno.pid}${index}`;
      using client = await Client.running(path, "sleep", mark);
      await client.say(bytes).catch(() => {});
      await client.hear();
      await until(() => !runs(mark), `end of the command: ${what}`);
    }
    const writer = other.stdin.getWriter();
    await writer.write(encoder.encode("still there"));
    await writer.close();
    assert.equal(await new Response(other.stdout).text(), "still there");
  },
}));

Deno.test(needing(["gcc"], {
  name:
    "exec by the control socket: a client that is early, deaf, gone, or one too many",
  async fn() {
    await using server = await ExecServer.make();
    const { path } = server;
    const line = '{"method":"exec","params":{"command":["true"]}}\n';
    {
      using early = await Client.to(path);
      await early.say(encoder.encode(line + "x"));
      const answer = '{"error":"nothing may come before the answer to it"}\n';
      assert.equal(await early.hear(answer.length), answer);
    }
    (await Client.to(path))[Symbol.dispose]();
    const mark = `7${Deno.pid}`;
    {
      using gone = await Client.to(path);
      const request = line.replace('"true"', `"sleep","${mark}"`);
      await gone.say(encoder.encode(request));
    }
    using deaf = await Client.running(path, "yes", mark);
    // Its command waits: one window, and no more.
    const window = 64 * 1024;
    const heard = await deaf.hear(window);
    assert.equal(heard.length, window);
    const children = [];
    while (children.length < 23) {
      try {
        children.push(await startCommand(path, { command: ["cat"] }));
      } catch (error) { // as long as who is gone counts, too
        assert.match((error as Error).message, /24 commands run already/);
        assert.equal(children.length, 22);
        await new Promise((done) => setTimeout(done, 20));
      }
    }
    await assert.rejects(
      startCommand(path, { command: ["cat"] }),
      /24 commands run already/,
    );
    assert.equal(server.machine.controller.describe().state, "running");
    for (const child of children) await child[Symbol.asyncDispose]();
    await until(() => !runs(`sleep ${mark}`), "end of who is gone");
  },
}));
