/**
 * What a machine's init is told to do: given when it asks, which is when a
 * machine is best saved.
 *
 * @module
 */
import {
  createOrders,
  giveOrders,
  ORDERS_MAX,
  ordersAsked,
  OrdersMode,
} from "../../devices/platform/orders.ts";
import { VireoError } from "../../ffi/error.ts";

/** Types of records, as in `images/linux/orders.h`. */
const Type = {
  NONCE: 1,
  COMMANDS: 2,
  SIZE: 3,
  TERM: 4,
  TIME: 5,
  SEED: 6,
  BIND: 7,
  ADDRESS: 8,
} as const;

/** Random bytes that a guest is given. */
const SEED_BYTES = 32;

/** What init is to do. */
export interface Instructions {
  /** For the marks that it makes on the console. */
  nonce: string;
  /** For the shell; undefined: it is interactive. */
  commands?: string;
  /** The terminal's size, in characters. */
  size?: { rows: number; columns: number };
  /** The terminal's type. */
  term?: string;
  /** Virtio devices that have no driver yet, by their numbers. */
  bind: readonly number[];
  /** What Linux would have after `ip=`. */
  address?: string;
}

/** The orders of one machine. */
export class Orders {
  /** @internal The state that the vCPUs' threads share. */
  readonly shared: SharedArrayBuffer;
  /** Resolves when the guest asks and there are none yet. */
  readonly asked: Promise<void>;

  /** `commands`: the shell is to run some; else it is interactive. */
  constructor(commands: boolean) {
    const { COMMANDS, TERMINAL } = OrdersMode;
    this.shared = createOrders(commands ? COMMANDS : TERMINAL);
    this.asked = ordersAsked(this.shared);
  }

  /** The guest goes on. `bytes` are an {@linkcode encodeOrders}. */
  give(bytes: Uint8Array): void {
    giveOrders(this.shared, bytes);
  }
}

/**
 * The records, with the time of this moment and a seed of its own.
 *
 * @throws {VireoError} they are more than a guest takes
 */
export function encodeOrders(
  { nonce, commands, size, term, bind, address }: Instructions,
): Uint8Array {
  const seed = crypto.getRandomValues(new Uint8Array(SEED_BYTES));
  const records = [record(Type.TIME, now()), record(Type.SEED, seed)];
  const texts = [[Type.NONCE, nonce], [Type.TERM, term]] as const;
  for (const [type, text] of texts) {
    if (text !== undefined) records.push(textRecord(type, text));
  }
  if (size) {
    const { rows, columns } = size;
    const bytes = new Uint8Array(new Uint16Array([rows, columns]).buffer);
    records.push(record(Type.SIZE, bytes));
  }
  if (bind.length > 0) records.push(record(Type.BIND, Uint8Array.from(bind)));
  if (address !== undefined) records.push(textRecord(Type.ADDRESS, address));
  if (commands !== undefined) {
    records.push(textRecord(Type.COMMANDS, commands));
  }
  const bytes = new Uint8Array(records.flatMap((bytes) => [...bytes]));
  if (bytes.length <= ORDERS_MAX) return bytes;
  throw new VireoError(
    `--exec: the guest takes ${ORDERS_MAX} bytes, not ${bytes.length}`,
  );
}

/** `struct timespec`. */
function now(): Uint8Array {
  const milliseconds = Date.now();
  const bytes = new DataView(new ArrayBuffer(16));
  const seconds = Math.floor(milliseconds / 1000);
  bytes.setBigUint64(0, BigInt(seconds), true);
  bytes.setBigUint64(8, BigInt(milliseconds % 1000 * 1_000_000), true);
  return new Uint8Array(bytes.buffer);
}

/** Init finds a zero behind it. */
function textRecord(type: number, text: string): Uint8Array {
  return record(type, new TextEncoder().encode(`${text}\0`));
}

function record(type: number, value: Uint8Array): Uint8Array {
  if (value.length > 0xffff) {
    throw new VireoError(`--exec: ${value.length} bytes; at most 65535`);
  }
  const bytes = new Uint8Array(Math.ceil((4 + value.length) / 4) * 4);
  new Uint16Array(bytes.buffer, 0, 2).set([type, value.length]);
  bytes.set(value, 4);
  return bytes;
}
