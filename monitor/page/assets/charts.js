// Charts over the last minute, by the library that the page loads if it can.

/** Points of each line: a minute of them. */
const POINTS = 120;
/** Buckets of latencies: bucket n is of at most 2^n microseconds. */
const BUCKETS = 26;

/** The charts, in the element's sections. */
export class Charts {
  #charts;
  #withBalloon;
  #last;
  #times = [];
  /** Lists of values by chart, then by line. */
  #lines = {
    exits: new Map(),
    bytes: new Map(),
    depth: new Map(),
    memory: new Map(),
  };
  /** Columns of the heat map. */
  #latencies = [];

  /** Draws into elements by `echarts`. */
  constructor(echarts, { exits, bytes, depth, latency, memory }) {
    const chart = (element, title, option) => {
      const one = echarts.init(element);
      const textStyle = { fontSize: 13 };
      one.setOption({
        animation: false,
        title: { text: title, textStyle, left: 8, top: 4 },
        grid: { left: 60, right: 16, top: 60, bottom: 24 },
        xAxis: { type: "category", data: [] },
        ...option,
      });
      addEventListener("resize", () => one.resize());
      return one;
    };
    const lines = {
      legend: { top: 28, type: "scroll" },
      yAxis: { type: "value", min: 0 },
    };
    /** Only a machine with a balloon has it. */
    this.#withBalloon = () => {
      memory.hidden = false;
      this.#charts.memory = chart(memory, "Memory in MiB", lines);
    };
    const buckets = Array.from({ length: BUCKETS }, (_, n) => bound(n));
    this.#charts = {
      exits: chart(exits, "Exits per second", lines),
      bytes: chart(bytes, "MiB per second", lines),
      depth: chart(depth, "Requests in flight", lines),
      latency: chart(latency, "Latency of requests", {
        yAxis: { type: "category", data: buckets },
        visualMap: {
          show: false,
          min: 0,
          max: 1,
          inRange: { color: ["#c5f6fa", "#0b7285"] },
        },
        series: [{ type: "heatmap", data: [] }],
      }),
    };
  }

  /** Takes the next numbers, and what the balloon says, if there is one. */
  add(metrics, balloon) {
    const now = performance.now();
    const { last, at } = this.#last ?? {};
    this.#last = { last: metrics, at: now };
    if (last === undefined) return;
    const seconds = (now - at) / 1000;
    this.#times.push(new Date().toLocaleTimeString("en-GB"));
    if (this.#times.length > POINTS) this.#times.shift();
    metrics.vcpus.forEach(({ exits }, id) => {
      for (const [reason, count] of Object.entries(exits)) {
        const before = last.vcpus[id].exits[reason] ?? 0;
        this.#point(
          "exits",
          `vCPU ${id} ${reason}`,
          (count - before) / seconds,
        );
      }
    });
    const column = new Array(BUCKETS).fill(0);
    metrics.devices.forEach((device, index) => {
      const before = last.devices[index];
      const bytes = (bytesOf(device) - bytesOf(before)) / seconds;
      this.#point("bytes", device.name, bytes / 2 ** 20);
      // Their mean since the last numbers (Little's law); or those that hang.
      const mean = (timeOf(device) - timeOf(before)) / seconds;
      this.#point("depth", device.name, Math.max(mean, device.inFlight));
      for (const [type, { latencies }] of Object.entries(device.requests)) {
        latencies.forEach((count, n) => {
          column[n] += count - (before.requests[type]?.latencies[n] ?? 0);
        });
      }
    });
    if (balloon) this.#memory(metrics, balloon);
    this.#latencies.push(column);
    if (this.#latencies.length > POINTS) this.#latencies.shift();
    this.#draw();
  }

  /** What comes next is no continuation. */
  interrupt() {
    this.#last = undefined;
  }

  #memory({ memory }, { actual_mib, target_mib, free_memory }) {
    if (this.#charts.memory === undefined) this.#withBalloon();
    this.#point("memory", "the guest's", memory / 2 ** 20 - actual_mib);
    this.#point("memory", "in the balloon", actual_mib);
    this.#point("memory", "asked for", target_mib);
    if (free_memory === undefined) return;
    this.#point("memory", "free in the guest", free_memory / 2 ** 20);
  }

  #point(chart, name, value) {
    const lines = this.#lines[chart];
    // A line that begins later has its end where the others have theirs.
    if (!lines.has(name)) {
      lines.set(name, new Array(this.#times.length - 1).fill(0));
    }
    const line = lines.get(name);
    line.push(Math.round(value * 100) / 100);
    if (line.length > POINTS) line.shift();
  }

  #draw() {
    const xAxis = { data: this.#times };
    for (const [key, lines] of Object.entries(this.#lines)) {
      const series = [...lines].map(([name, data]) => ({
        ...{ type: "line", name, data },
        showSymbol: false,
      }));
      this.#charts[key]?.setOption({ xAxis, series });
    }
    const cells = this.#latencies.flatMap((column, x) =>
      column.map((count, y) => [x, y, Math.log1p(count)])
    ).filter(([, , value]) => value > 0);
    const max = Math.max(1, ...cells.map(([, , value]) => value));
    this.#charts.latency.setOption({
      xAxis,
      visualMap: { max },
      series: [{ type: "heatmap", data: cells }],
    });
  }
}

function timeOf({ requests }) {
  return Object.values(requests).reduce((sum, one) => sum + one.seconds, 0);
}

function bytesOf({ requests, queues }) {
  const sum = (list, key) => list.reduce((total, one) => total + one[key], 0);
  return sum(Object.values(requests), "bytes") + sum(queues, "frameBytes");
}

function bound(n) {
  if (n === BUCKETS - 1) return "more";
  const microseconds = 2 ** n;
  if (microseconds < 1000) return `${microseconds} µs`;
  if (microseconds < 1e6) return `${Math.round(microseconds / 1000)} ms`;
  return `${Math.round(microseconds / 1e6)} s`;
}
