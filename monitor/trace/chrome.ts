/**
 * A machine's events in Chrome's trace format ("Trace Event Format", its JSON
 * array): an event a line, which Perfetto and chrome://tracing open. Without
 * the bracket at its end, as of a process that was killed, it is one, too.
 *
 * Rows are the vCPUs, and of each device its life, its queues, and of each queue
 * as many as it has requests at a time. A request's way, from the doorbell to
 * the interrupt, is a flow.
 *
 * @module
 */
import type {
  ExitEvent,
  RequestEvent,
  TraceEvent,
} from "../../vmm/trace/events.ts";

/** How every file begins. */
export const FIRST_LINE = "[";

/** The process that the machine's own life is. */
const MACHINE = "machine";
/** The process that the vCPUs are the threads of. */
const VCPUS = 1;
/** Of a device's rows, the one of its life; the queues' begin behind it. */
const LIFE = 1;
/** Rows that a queue may have. */
const QUEUE_ROWS = 1000;
/** What happens at a moment is so wide, in microseconds: flows end in it. */
const MOMENT = 0.05;
/** Requests of a queue that wait for an interrupt which may never come. */
const FLOWS_MAX = 256;

/** Events as text. It keeps what it needs of requests in flight, and no more. */
export class ChromeTrace {
  readonly #devices = new Map<string, number>(); // their processes
  readonly #rows = new Set<number>(); // that have a name
  readonly #lanes = new Map<number, number[]>(); // when each is free again
  readonly #flows = new Map<number, number[]>(); // that wait for an interrupt
  #flow = 0;
  #begun = false;
  #text = "";

  /**
   * The text of the next events.
   *
   * @param events of one machine, those of a thread in their order
   */
  add(events: readonly TraceEvent[]): string {
    for (const event of events) this.#add(event);
    const text = this.#text;
    this.#text = "";
    return text;
  }

  #add(event: TraceEvent): void {
    switch (event.type) {
      case "exit":
        return this.#exit(event);
      case "request":
        return this.#request(event);
      case "doorbell": {
        const row = this.#queueRow(event.device, event.queue);
        return this.#moment(event.device, row, event.time, "doorbell");
      }
      case "interrupt":
        return this.#interrupt(event.device, event.queue, event.time);
      case "begin": {
        const { device, queue, time, request, sector, bytes } = event;
        const row = this.#queueRow(device, queue);
        const name = `${request} begins`;
        return this.#instant(device, row, time, name, { sector, bytes });
      }
      case "frame": {
        const { device, queue, time, bytes } = event;
        const name = bytes > 0 ? "frame" : "lost frame";
        const row = this.#queueRow(device, queue);
        return this.#instant(device, row, time, name, { bytes });
      }
      case "step": {
        const { device, time, step, why } = event;
        const row = this.#lifeRow(device);
        return this.#instant(device, row, time, step, why ? { why } : {});
      }
      case "own": {
        const { device, time, name, value } = event;
        const row = this.#lifeRow(device);
        return this.#instant(device, row, time, name, { value });
      }
      case "state": {
        const row = this.#lifeRow(MACHINE);
        const what = event.work ?? event.state;
        return this.#instant(MACHINE, row, event.time, what, {});
      }
      case "lost": {
        this.#name(VCPUS, 0, "lost events");
        const { thread, count } = event;
        return this.#line(
          `"ph":"i","s":"g","cat":"lost","name":"lost events","pid":${VCPUS},` +
            `"tid":0,"ts":${at(event.time)},` +
            `"args":${JSON.stringify({ thread, count })}`,
        );
      }
    }
  }

  #exit(event: ExitEvent): void {
    const { vcpu, time, duration, reason, device, register } = event;
    this.#name(VCPUS, vcpu + 1, `vCPU ${vcpu}`);
    const name = [device, register].filter(Boolean).join(" ") || reason;
    let args = `"reason":"${reason}"`;
    if (event.address !== undefined) {
      args += `,"address":"0x${event.address.toString(16)}"` +
        `,"size":${event.size},"write":${event.write}` +
        `,"value":"0x${event.value!.toString(16)}"`;
      if (event.count !== 1) args += `,"count":${event.count}`;
    }
    this.#line(
      `"ph":"X","cat":"exit","name":${JSON.stringify(name)},"pid":${VCPUS},` +
        `"tid":${vcpu + 1},"ts":${at(time)},"dur":${at(duration)},` +
        `"args":{${args}}`,
    );
  }

  #request(event: RequestEvent): void {
    const { device, queue, time, duration, request, status, doorbell } = event;
    const pid = this.#process(device);
    const row = this.#queueRow(device, queue);
    const lane = row + 1 + this.#lane(pid * 1e6 + row, time, time + duration);
    this.#name(pid, lane, `queue ${queue}, requests`);
    const { sector, bytes } = event;
    const args = JSON.stringify({ sector, bytes, status: status ?? "dropped" });
    this.#line(
      `"ph":"X","cat":"request","name":"${request}","pid":${pid},` +
        `"tid":${lane},"ts":${at(time)},"dur":${at(duration)},"args":${args}`,
    );
    const flow = ++this.#flow;
    if (doorbell !== undefined) this.#step("s", flow, pid, row, doorbell);
    const way = doorbell === undefined ? "s" : "t";
    this.#step(way, flow, pid, lane, time);
    const key = pid * 1e6 + row;
    const waiting = this.#flows.get(key) ?? [];
    if (waiting.length === 0) this.#flows.set(key, waiting);
    if (waiting.length < FLOWS_MAX) waiting.push(flow);
  }

  #interrupt(device: string, queue: number, time: number): void {
    const pid = this.#process(device);
    if (queue < 0) {
      const row = this.#lifeRow(device);
      return this.#moment(device, row, time, "configuration interrupt");
    }
    const row = this.#queueRow(device, queue);
    this.#moment(device, row, time, "interrupt");
    const key = pid * 1e6 + row;
    for (const flow of this.#flows.get(key) ?? []) {
      this.#step("f", flow, pid, row, time);
    }
    this.#flows.delete(key);
  }

  /** The first row that is free all the time: ends come in their order. */
  #lane(key: number, start: number, end: number): number {
    const lanes = this.#lanes.get(key) ?? [];
    if (lanes.length === 0) this.#lanes.set(key, lanes);
    let lane = lanes.findIndex((free) => free <= start);
    if (lane < 0) lane = Math.min(lanes.length, QUEUE_ROWS - 2);
    lanes[lane] = end;
    return lane;
  }

  #step(ph: string, flow: number, pid: number, tid: number, ts: number): void {
    const bind = ph === "s" ? "" : `"bp":"e",`;
    this.#line(
      `"ph":"${ph}",${bind}"cat":"flow","name":"request","id":${flow},` +
        `"pid":${pid},"tid":${tid},"ts":${at(ts)}`,
    );
  }

  #moment(device: string, row: number, time: number, name: string): void {
    this.#line(
      `"ph":"X","cat":"${name.split(" ").at(-1)}","name":"${name}",` +
        `"pid":${this.#process(device)},"tid":${row},"ts":${at(time)},` +
        `"dur":${MOMENT}`,
    );
  }

  #instant(
    device: string,
    row: number,
    time: number,
    name: string,
    args: object,
  ): void {
    this.#line(
      `"ph":"i","s":"t","cat":"device","name":${JSON.stringify(name)},` +
        `"pid":${this.#process(device)},"tid":${row},"ts":${at(time)},` +
        `"args":${JSON.stringify(args)}`,
    );
  }

  #lifeRow(device: string): number {
    this.#name(this.#process(device), LIFE, "life");
    return LIFE;
  }

  #queueRow(device: string, queue: number): number {
    const row = (queue + 1) * QUEUE_ROWS;
    this.#name(this.#process(device), row, `queue ${queue}`);
    return row;
  }

  /** A device is a process of its own, in the order of their first events. */
  #process(device: string): number {
    let pid = this.#devices.get(device);
    if (pid === undefined) {
      pid = VCPUS + 1 + this.#devices.size;
      this.#devices.set(device, pid);
      this.#meta("process_name", pid, 0, { name: device });
    }
    return pid;
  }

  /** Names a row, once. */
  #name(pid: number, tid: number, name: string): void {
    const key = pid * 1e6 + tid;
    if (this.#rows.has(key)) return;
    if (this.#rows.size === 0) {
      this.#meta("process_name", VCPUS, 0, { name: "vCPUs" });
    }
    this.#rows.add(key);
    this.#meta("thread_name", pid, tid, { name });
    this.#meta("thread_sort_index", pid, tid, { sort_index: tid });
  }

  /** With all that Chrome's own have: there are readers that ask for it. */
  #meta(what: string, pid: number, tid: number, args: object): void {
    this.#line(
      `"ph":"M","cat":"__metadata","name":"${what}","pid":${pid},` +
        `"tid":${tid},"ts":0,"args":${JSON.stringify(args)}`,
    );
  }

  /** A comma stands in front: the last line has none behind it. */
  #line(fields: string): void {
    this.#text += this.#begun ? `,\n{${fields}}` : `\n{${fields}}`;
    this.#begun = true;
  }
}

/** Microseconds of nanoseconds, to the nanosecond. */
function at(nanoseconds: number): string {
  return (nanoseconds / 1000).toFixed(3);
}
