/**
 * Every endpoint: a good request, one at the wrong time, and ones of a wrong
 * type, with an unknown field, without a field that must be there, and with a
 * wrong path; each with its status and text.
 */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { HI } from "../../vmm/testing/tiny_guest.ts";
import { NO_PCI, type Row, ROWS } from "../testing/each_endpoint.ts";
import { startGuest, TestFolder } from "../testing/guest.ts";
import { TestApi } from "../testing/test_api.ts";
import { TABLE } from "./table.ts";

const D = "An error occurred when deserializing the json body of a request: ";
const NOT = "The requested operation is not supported";
const WHEN = {
  before: `${NOT} after starting the microVM.`,
  after: `${NOT} before starting the microVM.`,
};

/** What the machine has after the start. */
const DEVICES = ["/balloon", "/drives/d", "/vsock"];

/** What is said to those that come too late, if not as always. */
const LATE: Record<string, string> = {
  "/drives/d": `Drive config error: ${NO_PCI}`,
  "/network-interfaces/n": `Network config error: ${NO_PCI}`,
  "/mmds": "MMDS error: The MMDS data store is not initialized.",
};

/** `one of `a`, `b`, `c``, as serde has it. */
function oneOf(keys: readonly string[]): string {
  const quoted = keys.map((key) => `\`${key}\``);
  return quoted.length > 2
    ? `one of ${quoted.join(", ")}`
    : quoted.join(" or ");
}

function at(text: string, column: number): string {
  return `${D}${text} at line 1 column ${column}.`;
}

/** Bodies that are wrong whenever it is, and what is said of them. */
function wrong({ ask: [method], keys, good, type, bodiless }: Row) {
  const rows: [body: unknown, text: string][] = [];
  if (method === "GET") rows.push([{}, "GET request cannot have a body."]);
  if (method === "DELETE") rows.push([{}, "Empty Delete request."]);
  const optional = keys === "acknowledge_on_stop";
  if (good !== undefined && !optional && !bodiless) {
    rows.push([undefined, `Empty ${method} request.`]);
    rows.push(["{", at("EOF while parsing an object", 1)]);
  }
  if (type) {
    const [key, value, found, expected] = type;
    const column = key.length + 4 + value.length;
    const text = `invalid type: ${found}, expected ${expected}`;
    rows.push([`{"${key}":${value}}`, at(text, column)]);
  }
  if (keys === undefined) return rows;
  const names = keys.split(" ").map((key) => key.replace("!", ""));
  const text = `unknown field \`zz\`, expected ${oneOf(names)}`;
  rows.push(['{"zz":1}', at(text, 5)]);
  const needed = keys.split(" ").find((key) => key.endsWith("!"));
  if (needed) {
    rows.push(["{}", at(`missing field \`${needed.slice(0, -1)}\``, 2)]);
  }
  return rows;
}

/** The last part of the path, or the only one, is another. */
function wrongPath({ ask: [method, uri], path }: Row): [string, string] {
  if (path !== undefined) {
    const parts = uri.split("/");
    const last = parts.length > 2 ? parts.slice(0, -1) : parts;
    return [`${last.join("/")}/x`, path];
  }
  const [, segment, ...rest] = uri.split("/");
  const other = `${segment}x`;
  return [
    `/${[other, ...rest].join("/")}`,
    `Invalid request method and/or path: ${method} ${other}.`,
  ];
}

/** Asks, and keeps what is said otherwise than it should be. */
class Asker {
  readonly wrong: string[] = [];
  readonly #test: TestApi;
  readonly #folder: TestFolder;

  constructor(test: TestApi, folder: TestFolder) {
    this.#test = test;
    this.#folder = folder;
  }

  /** A request that is refused, with this text. */
  async bad(
    [method, uri]: Row["ask"],
    body: unknown,
    text: string,
  ): Promise<void> {
    const { status, body: told } = await this.#test.ask(method, uri, body);
    const wanted = JSON.stringify({ fault_message: text });
    if (status === 400 && told === wanted) return;
    this.wrong.push(
      `${method} ${uri} ${JSON.stringify(body)}: ${status} ${told}, ` +
        `and not ${text}`,
    );
  }

  /** A good request of the row. */
  async good({ ask, good, refused }: Row): Promise<void> {
    const body = good === undefined
      ? undefined
      : JSON.stringify(good).replaceAll("DIR", this.#folder.path);
    if (refused !== undefined) return await this.bad(ask, body, refused);
    const { status, body: told } = await this.#test.ask(...ask, body);
    const isRight = told === undefined ? status === 204 : status === 200;
    if (!isRight) this.wrong.push(`${ask.join(" ")} ${body}: ${told}`);
  }
}

Deno.test("API: each endpoint before the start: good, too early, wrong in type, field and path", async () => {
  using folder = new TestFolder();
  for (const name of ["a", "b"]) folder.file(name);
  await using test = new TestApi({ allowsModules: true });
  const told = ROWS.map(({ ask }) => ask.join(" ")).sort();
  const names: Record<string, string> = {
    drives: "d",
    pmem: "p",
    "network-interfaces": "n",
  };
  const rows = TABLE.map(({ method, segment, rest }) => {
    const more = rest === "id" ? [names[segment]] : rest ?? [];
    return `${method} /${[segment, ...more].join("/")}`;
  });
  assert.deepEqual(told, rows.sort(), "each has its row here");
  const asker = new Asker(test, folder);
  for (const row of ROWS) {
    for (const [body, text] of wrong(row)) await asker.bad(row.ask, body, text);
    const [path, text] = wrongPath(row);
    const body = row.good ?? (row.bodiless ? {} : undefined);
    await asker.bad([row.ask[0], path], body, text);
  }
  for (const row of ROWS) {
    if (row.when === "after" || row.ask[1] === "/actions") {
      await asker.bad(row.ask, row.good, WHEN.after);
    } else await asker.good(row);
  }
  assert.deepEqual(asker.wrong, []);
});

Deno.test(needing([KVM], {
  name:
    "API: each endpoint after the start: good, too late, wrong in type, field and path",
  async fn() {
    using folder = new TestFolder();
    for (const name of ["a", "b"]) folder.file(name);
    await using test = new TestApi({ allowsModules: true });
    const asker = new Asker(test, folder);
    for (const row of ROWS) {
      const [method, uri] = row.ask;
      const has = method === "PUT" && DEVICES.includes(uri);
      if (has) await asker.good(row);
    }
    await startGuest(test, folder.file("kernel", HI));
    await until(() => test.output.includes("hi"), "hi");
    for (const row of ROWS.filter(({ ask }) => ask[1] !== "/vireo/stop")) {
      for (const [body, text] of wrong(row)) {
        await asker.bad(row.ask, body, text);
      }
      if (row.when !== "before") await asker.good(row);
      else {
        const text = LATE[row.ask[1]] ?? WHEN.before;
        await asker.bad(row.ask, row.good, text);
      }
    }
    assert.deepEqual(asker.wrong, []);
  },
}));
