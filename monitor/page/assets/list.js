// The list of the machines of one process: what each does, and a way to it.
import { rows } from "./tables.js";

const HEAD = ["machine", "state", "MiB", "exits/s", "requests/s", "MiB/s"];

/** The list, in a section that is hidden while there is only one. */
export class MachineList {
  #section;
  #table;
  #current;
  #last = new Map();
  #rates = new Map();

  /** Shows them in `section`, of which `current` is the one on this page. */
  constructor(section, current) {
    this.#section = section;
    this.#table = section.querySelector("table");
    this.#current = current;
  }

  /** Takes the next rows; undefined: there is one machine. */
  show(machines) {
    this.#section.hidden = machines === undefined;
    if (machines === undefined) return;
    const now = performance.now();
    const current = this.#current ?? machines[0]?.name;
    rows(this.#table, [
      HEAD,
      ...machines.map((machine) => {
        const { name, state, memory } = machine;
        const { exits, requests, bytes } = this.#rate(machine, now);
        return [
          ...[link(name, name === current), state ?? "in the making"],
          ...[memory / 2 ** 20, exits, requests, bytes / 2 ** 20],
        ].map((cell) => typeof cell === "number" ? tidy(cell) : cell);
      }),
    ]);
  }

  /** By the second; the process makes new numbers more rarely than it sends. */
  #rate({ name, exits, requests, bytes }, now) {
    const { last, at } = this.#last.get(name) ?? {};
    const old = now - (at ?? -Infinity) > 900;
    if (old) {
      this.#last.set(name, { last: { exits, requests, bytes }, at: now });
    }
    if (old && last) {
      const seconds = (now - at) / 1000;
      this.#rates.set(name, {
        exits: (exits - last.exits) / seconds,
        requests: (requests - last.requests) / seconds,
        bytes: (bytes - last.bytes) / seconds,
      });
    }
    return this.#rates.get(name) ?? { exits: 0, requests: 0, bytes: 0 };
  }
}

function tidy(value) {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}

function link(name, here) {
  const element = document.createElement("a");
  element.textContent = name;
  element.href = `?machine=${encodeURIComponent(name)}`;
  if (here) element.ariaCurrent = "page";
  return element;
}
