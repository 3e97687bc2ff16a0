/**
 * Connections to the API's socket: who has one, and how much of this process
 * it can have, whatever it sends or doesn't read.
 *
 * @module
 */
import {
  type Answer,
  answerBytes,
  CONTINUE,
  mistakeBytes,
  TOO_MANY,
} from "./answer.ts";
import { HttpParser, type HttpRequest } from "./parser.ts";

/** Connections at once. */
export const CONNECTIONS_MAX = 10;
/** Bytes that are read at once. */
const CHUNK = 16 * 1024;
/** How long to wait for a descriptor when there is none, in milliseconds. */
const RETRY = 100;

/**
 * So often, so many milliseconds apart, it is looked whether a client has gone.
 * Looks count, not time: a process that was stopped has noticed nobody yet.
 */
const CLOSE_LOOKS = 10, CLOSE_INTERVAL = 2;

/**
 * Says what is to be said to a request. Never throws.
 *
 * @param first it is its connection's first
 */
export type Answerer = (
  request: HttpRequest,
  first: boolean,
) => Promise<Answer>;

/** A listening socket, and who is connected to it. */
export class ApiServer {
  readonly #listener: Deno.UnixListener;
  readonly #answer: Answerer;
  readonly #bodyMax: number;
  readonly #connections = new Set<Connection>();
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * Serves a listening socket.
   *
   * @param bodyMax the longest body of a request in bytes
   * @param answer is called for one request at a time
   */
  constructor(
    listener: Deno.UnixListener,
    bodyMax: number,
    answer: Answerer,
  ) {
    this.#listener = listener;
    this.#bodyMax = bodyMax;
    this.#answer = (...asked) => this.#inTurn(() => answer(...asked));
  }

  /** Accepts clients until {@linkcode close}. */
  async run(): Promise<void> {
    while (!this.#closed) {
      let client: Deno.UnixConn;
      try {
        client = await this.#listener.accept();
      } catch {
        if (this.#closed) return;
        // No descriptor is left, or the client has gone already.
        await new Promise((done) => setTimeout(done, RETRY));
        continue;
      }
      void this.#welcome(client);
    }
  }

  /** Ends all connections. The socket's name stays. */
  close(): void {
    this.#closed = true;
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
  }

  async #welcome(client: Deno.UnixConn): Promise<void> {
    // Those that have been closed just now may not have been noticed yet.
    for (let looks = 0; this.#full && looks < CLOSE_LOOKS; looks++) {
      await new Promise((done) => setTimeout(done, CLOSE_INTERVAL));
    }
    if (this.#full) return await refuse(client);
    const connection = new Connection(client, this.#bodyMax, this.#answer);
    this.#connections.add(connection);
    await connection.serve();
    this.#connections.delete(connection);
  }

  get #full(): boolean {
    return this.#connections.size >= CONNECTIONS_MAX;
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(action);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

async function refuse(client: Deno.UnixConn): Promise<void> {
  try {
    await client.write(TOO_MANY); // fits into an empty socket, or is lost
  } catch {
    // It has gone by itself.
  }
  client.close();
}

/** One client. */
class Connection {
  readonly #client: Deno.UnixConn;
  readonly #answer: Answerer;
  readonly #parser: HttpParser;
  #first = true;
  #closed = false;

  constructor(client: Deno.UnixConn, bodyMax: number, answer: Answerer) {
    this.#client = client;
    this.#answer = answer;
    this.#parser = new HttpParser(bodyMax);
  }

  /** Answers until the client, or {@linkcode close}, ends it. */
  async serve(): Promise<void> {
    const chunk = new Uint8Array(CHUNK);
    try {
      for (;;) {
        const count = await this.#client.read(chunk);
        if (count === null) break;
        await this.#take(chunk.subarray(0, count));
      }
    } catch {
      // The client has gone, perhaps in the middle of an answer.
    }
    this.close();
  }

  /** Ends it now. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#client.close();
  }

  /** Nothing more is read until all of this is answered, and taken. */
  async #take(bytes: Uint8Array): Promise<void> {
    for (const event of this.#parser.push(bytes)) {
      const first = this.#first;
      this.#first = false;
      await this.#write(
        event.type === "request"
          ? answerBytes(await this.#answer(event.request, first))
          : event.type === "continue"
          ? CONTINUE
          : mistakeBytes(event.text),
      );
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += await this.#client.write(bytes.subarray(done));
    }
  }
}
