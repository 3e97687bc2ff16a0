/**
 * One debugger's conversation: gdb's packets, and their answers. It knows no
 * sockets: bytes come in by {@linkcode GdbSession.receive}, and go out by `send`.
 *
 * All of the machine stops and goes together ("all-stop mode"); threads are
 * vCPUs, the first being 1.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Go } from "../../vmm/introspection/debugger.ts";
import {
  bytesOf,
  type Frame,
  framed,
  FrameReader,
  hexOf,
  latin1,
  PACKET_MAX,
} from "./packets.ts";
import { breakpointOf, goOf, hexNumber, part } from "./packet_text.ts";
import { GDB_REGISTERS } from "./registers.ts";
import type { GdbTarget, StopReply } from "./target.ts";
import { targetXml } from "./target_xml.ts";

/** Bytes of memory that fit into an answer as digits. */
const READ_MAX = PACKET_MAX / 2;
const SIGINT = 2;
const SIGTRAP = 5;
/** Any failure; gdb shows no text of ours. */
const FAILED = "E01";
const OK = "OK";
const UNKNOWN = "";

const FEATURES_OF_OURS = [
  `PacketSize=${PACKET_MAX.toString(16)}`,
  ...["QStartNoAckMode+", "qXfer:features:read+", "vContSupported+"],
  ...["swbreak+", "hwbreak+"],
].join(";");

/** Where a session's answers go. */
export interface SessionOutput {
  /** More bytes for gdb. */
  send(bytes: Uint8Array): void;
  /** Nothing more is to be said. */
  close(): void;
}

/** One debugger's conversation. */
export class GdbSession {
  readonly #target: GdbTarget;
  readonly #output: SessionOutput;
  readonly #reader = new FrameReader();
  #acks = true;
  #last: Uint8Array | undefined;
  /** The thread that registers and memory are of. */
  #thread = 1;
  #stop: StopReply = { reason: "paused", thread: 1 };
  #begun = false;
  #running = false;
  #closed = false;
  /** Kinds of breakpoints at an address, as gdb has called them. */
  readonly #software = new Set<bigint>();

  /** A conversation about `target`. */
  constructor(target: GdbTarget, output: SessionOutput) {
    this.#target = target;
    this.#output = output;
  }

  /** A packet has come: it is gdb, as far as one can tell. */
  get begun(): boolean {
    return this.#begun;
  }

  /** gdb waits for a stop, or for the machine's end. */
  get running(): boolean {
    return this.#running;
  }

  /** Takes what gdb has sent; resolves when it is answered. */
  async receive(bytes: Uint8Array): Promise<void> {
    for (const frame of this.#reader.push(bytes)) {
      if (this.#closed) return;
      await this.#take(frame);
    }
  }

  /** The conversation is over, whoever ended it: the guest goes on. */
  async end(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#output.close();
    if (this.#begun) await this.#target.detach();
  }

  async #take(frame: Frame): Promise<void> {
    switch (frame.type) {
      case "ack":
        return;
      case "nack":
        if (this.#last) this.#output.send(this.#last);
        return;
      case "damaged":
        return this.#output.send(latin1("-"));
      case "garbage":
        return await this.end();
      case "interrupt":
        if (this.#running) await this.#target.interrupt();
        return;
      case "packet":
        return await this.#packet(frame.data);
    }
  }

  async #packet(data: Uint8Array): Promise<void> {
    if (this.#acks) this.#output.send(latin1("+"));
    if (this.#running) return; // gdb says nothing now
    if (!this.#begun) {
      this.#begun = true;
      await this.#target.attach();
    }
    let answer: string | Uint8Array | undefined;
    try {
      answer = await this.#answer(data);
    } catch (error) {
      answer = error instanceof VireoError ? `E.${error.message}` : FAILED;
    }
    if (answer !== undefined) this.#say(answer);
  }

  #say(answer: string | Uint8Array): void {
    this.#last = framed(answer);
    this.#output.send(this.#last);
  }

  async #answer(data: Uint8Array): Promise<string | Uint8Array | undefined> {
    const text = String.fromCharCode(...data);
    switch (text[0]) {
      case "?":
        return this.#stopText(this.#stop);
      case "g":
        return hexOf(await this.#target.registers(this.#thread));
      case "G":
        return await this.#setRegisters(text.slice(1));
      case "p":
        return await this.#register(text.slice(1));
      case "P":
        return await this.#setRegister(text.slice(1));
      case "m":
        return await this.#read(text.slice(1));
      case "M":
      case "X":
        return await this.#write(data, text);
      case "H":
        return this.#chooseThread(text);
      case "T":
        return this.#isThread(hexNumber(text.slice(1))) ? OK : FAILED;
      case "c":
      case "s":
        return this.#go(goOf(`vCont;${text[0]}:${hex(this.#thread)};c`));
      case "Z":
      case "z":
        return await this.#breakpoint(text);
      case "D":
        this.#say(OK);
        return void await this.end();
      case "k":
        await this.#target.kill();
        return void await this.end();
      case "v":
        return await this.#verbose(text);
      case "q":
      case "Q":
        return await this.#query(text);
      default:
        return UNKNOWN;
    }
  }

  async #verbose(text: string): Promise<string | undefined> {
    if (text === "vCont?") return "vCont;c;C;s;S";
    if (text.startsWith("vCont;")) return this.#go(goOf(text));
    if (!text.startsWith("vKill")) return UNKNOWN;
    await this.#target.kill();
    this.#say(OK);
    return void await this.end();
  }

  async #query(text: string): Promise<string | undefined> {
    const [name, ...rest] = text.split(/[:,]/);
    switch (name) {
      case "qSupported":
        return FEATURES_OF_OURS;
      case "QStartNoAckMode":
        this.#say(OK);
        this.#acks = false;
        return undefined;
      case "qXfer":
        if (rest[0] !== "features" || rest[1] !== "read") return UNKNOWN;
        if (rest[2] !== "target.xml") return FAILED;
        return part(targetXml(), hexNumber(rest[3]), hexNumber(rest[4]));
      case "qfThreadInfo":
        return `m${this.#target.threads.map((id) => hex(id)).join(",")}`;
      case "qsThreadInfo":
        return "l";
      case "qThreadExtraInfo":
        return hexOf(latin1(await this.#target.about(hexNumber(rest[0]))));
      case "qC":
        return `QC${hex(this.#thread)}`;
      case "qAttached":
        return "1"; // when gdb leaves, it detaches
      case "qSymbol":
        return OK;
      case "qRcmd":
        return await this.#command(rest[0] ?? "");
      default:
        return UNKNOWN;
    }
  }

  async #register(text: string): Promise<string> {
    const register = GDB_REGISTERS[hexNumber(text)];
    if (register === undefined) return FAILED;
    return hexOf(await this.#target.register(this.#thread, register));
  }

  async #setRegister(text: string): Promise<string> {
    const [number, value = ""] = text.split("=");
    const register = GDB_REGISTERS[hexNumber(number)];
    const bytes = bytesOf(value);
    if (register === undefined || bytes === undefined) return FAILED;
    await this.#target.setRegister(this.#thread, register, bytes);
    return OK;
  }

  async #setRegisters(text: string): Promise<string> {
    const bytes = bytesOf(text);
    if (bytes === undefined) return FAILED;
    await this.#target.setRegisters(this.#thread, bytes);
    return OK;
  }

  async #read(text: string): Promise<string> {
    const { address, length } = rangeOf(text);
    const size = Math.min(length, READ_MAX);
    const bytes = await this.#target.read(this.#thread, address, size);
    return bytes.length === 0 && size > 0 ? FAILED : hexOf(bytes);
  }

  /** `M` with digits, `X` with the bytes themselves. */
  async #write(data: Uint8Array, text: string): Promise<string> {
    const colon = text.indexOf(":");
    if (colon < 0) return FAILED;
    const { address, length } = rangeOf(text.slice(1, colon));
    const bytes = text[0] === "X"
      ? data.subarray(colon + 1)
      : bytesOf(text.slice(colon + 1));
    if (bytes?.length !== length) return FAILED;
    const done = await this.#target.write(this.#thread, address, bytes);
    return done === length ? OK : FAILED;
  }

  /** `Hg` and `Hc`: 0 is any thread, -1 all of them. */
  #chooseThread(text: string): string {
    const id = text.slice(2);
    if (id === "0" || id === "-1") return OK;
    const thread = hexNumber(id);
    if (!this.#isThread(thread)) return FAILED;
    if (text[1] === "g") this.#thread = thread;
    return OK;
  }

  #isThread(thread: number): boolean {
    return this.#target.threads.includes(thread);
  }

  async #breakpoint(text: string): Promise<string> {
    const asked = breakpointOf(text);
    if (asked === undefined) return UNKNOWN;
    const { stop, software, insert } = asked;
    if (insert) await this.#target.insert(stop);
    else await this.#target.remove(stop);
    if (software && insert) this.#software.add(stop.address);
    else if (!insert) this.#software.delete(stop.address);
    return OK;
  }

  /** Answered by the next stop. */
  #go(what: ((thread: number) => Go) | undefined): string | undefined {
    if (what === undefined) return FAILED;
    this.#running = true;
    this.#target.go(what).then(
      (stop) => this.#stopped(stop),
      (error) => this.#refused(error),
    );
    return undefined;
  }

  #stopped(stop: StopReply): void {
    this.#running = false;
    if (this.#closed) return;
    this.#stop = stop;
    if (stop.reason !== "ended") this.#thread = stop.thread;
    this.#say(this.#stopText(stop));
    if (stop.reason === "ended") void this.end();
  }

  /** Nothing has moved; gdb shows what it is told while it waits. */
  #refused(error: unknown): void {
    const why = error instanceof Error ? error.message : `${error}`;
    if (!this.#closed) this.#say(`O${hexOf(encode(`vireo: ${why}\n`))}`);
    this.#stopped({ reason: "paused", thread: this.#thread });
  }

  #stopText(stop: StopReply): string {
    if (stop.reason === "ended") return "W00";
    const thread = `thread:${hex(stop.thread)};`;
    switch (stop.reason) {
      case "paused":
        return `T${hex(SIGINT, 2)}${thread}`;
      case "watch": {
        const name = stop.kind === "write" ? "watch" : "awatch";
        return `T${hex(SIGTRAP, 2)}${thread}${name}:${hex(stop.address)};`;
      }
      case "breakpoint": {
        const kind = this.#software.has(stop.address) ? "swbreak" : "hwbreak";
        return `T${hex(SIGTRAP, 2)}${thread}${kind}:;`;
      }
      case "step":
        return `T${hex(SIGTRAP, 2)}${thread}`;
    }
  }

  async #command(digits: string): Promise<string> {
    const words = bytesOf(digits);
    if (words === undefined) return FAILED;
    let text: string;
    try {
      text = await this.#target.command(new TextDecoder().decode(words));
    } catch (error) {
      if (!(error instanceof VireoError)) throw error;
      text = error.message;
    }
    const bytes = encode(`${text}\n`);
    for (let done = 0; done < bytes.length; done += READ_MAX - 1) {
      this.#say(`O${hexOf(bytes.subarray(done, done + READ_MAX - 1))}`);
    }
    return OK;
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function rangeOf(text: string): { address: bigint; length: number } {
  const [address = "", length] = text.split(",");
  if (!/^[0-9a-f]{1,16}$/i.test(address)) throw new VireoError("no address");
  return { address: BigInt(`0x${address}`), length: hexNumber(length) };
}

function hex(value: number | bigint, digits = 1): string {
  return value.toString(16).padStart(digits, "0");
}
