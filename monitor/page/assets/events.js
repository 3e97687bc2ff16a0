// The log of events: which types are wanted, and which of their lines.

/** Lines that are kept. */
const MAX_LINES = 1000;
const TYPES = [
  ...["step", "request", "doorbell", "interrupt", "frame"],
  ...["exit", "own", "state"],
];

/** A log in an element of the page. */
export class EventLog {
  #lines = [];
  #source;
  #url;
  #types;
  #device;
  #filter;
  #output;
  #first;

  /**
   * Fills `types` with boxes, and shows in `output` what `filter` lets by of
   * what comes from `url` for those types and the device that is chosen.
   */
  constructor({ url, types, device, filter, output }) {
    this.#url = url;
    this.#types = types;
    this.#device = device;
    device.onchange = () => this.#listen();
    this.#filter = filter;
    this.#output = output;
    types.append(...TYPES.map((type) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.value = type;
      box.onchange = () => this.#listen();
      label.append(box, ` ${type} `);
      return label;
    }));
    filter.oninput = () => this.#show();
  }

  /** These can be chosen. */
  devices(names) {
    const known = [...this.#device.options].map(({ value }) => value);
    for (const name of names) {
      if (!known.includes(name)) this.#device.add(new Option(name));
    }
  }

  /** Nothing more comes. */
  close() {
    this.#source?.close();
  }

  #listen() {
    this.close();
    const types = [...this.#types.querySelectorAll("input:checked")]
      .map(({ value }) => value);
    if (types.length === 0) return;
    const device = this.#device.value;
    const words = new URLSearchParams({ types, ...(device && { device }) });
    this.#source = new EventSource(`${this.#url}&${words}`);
    this.#source.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  #take({ events, left_out }) {
    if (left_out > 0) this.#lines.push(`... ${left_out} more ...`);
    for (const { time, number: _number, type, ...rest } of events) {
      this.#first ??= time;
      const seconds = ((time - this.#first) / 1e9).toFixed(6);
      const words = Object.entries(rest)
        .map(([key, value]) => `${key}=${value}`);
      this.#lines.push(`${seconds} ${type} ${words.join(" ")}`);
    }
    this.#lines.splice(0, this.#lines.length - MAX_LINES);
    this.#show();
  }

  #show() {
    const word = this.#filter.value;
    const lines = this.#lines.filter((line) => line.includes(word));
    const output = this.#output;
    output.textContent = lines.join("\n");
    output.scrollTop = output.scrollHeight;
  }
}
