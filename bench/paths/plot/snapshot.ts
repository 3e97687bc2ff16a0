/**
 * Reads figures of snapshots from standard input, as JSON, and prints the plot
 * of them as SVG.
 *
 * @module
 */
import * as echarts from "echarts";
import type { Figure } from "../../snapshot/figures.ts";

const WIDTH = 960;
const ROW = 34;
const COLOURS = { measured: "#0b7285", range: "#99e9f2", goal: "#e8590c" };

/** A row for each time: from the least to the most, the median, the goal. */
function plot(all: readonly Figure[]): string {
  const figures = all.filter(({ unit }) => unit === "ms").toReversed();
  const chart = echarts.init(null, null, {
    renderer: "svg",
    ssr: true,
    width: WIDTH,
    height: 130 + ROW * figures.length,
  });
  const points = (value: (figure: Figure) => number | undefined) =>
    figures.flatMap((figure) => {
      const x = value(figure);
      return x === undefined ? [] : [[x, figure.name]];
    });
  const series = (
    name: string,
    symbol: string,
    color: string,
    value: (figure: Figure) => number | undefined,
  ) => ({
    type: "scatter",
    name,
    symbol,
    symbolSize: symbol === "rect" ? [3, 14] : 10,
    color,
    data: points(value),
  });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: {
      text: "Snapshots, forks and resets: milliseconds",
      left: "center",
      top: 10,
    },
    legend: { top: 38 },
    grid: { left: 320, right: 40, top: 76, bottom: 40 },
    xAxis: { type: "log" },
    yAxis: {
      type: "category",
      data: figures.map(({ name }) => name),
      axisLabel: { width: 300, overflow: "truncate" },
    },
    series: [
      series(
        "least",
        "rect",
        COLOURS.range,
        ({ values }) => Math.min(...values),
      ),
      series(
        "most",
        "rect",
        COLOURS.range,
        ({ values }) => Math.max(...values),
      ),
      series(
        "median",
        "circle",
        COLOURS.measured,
        ({ values }) => values.toSorted((a, b) => a - b)[values.length >> 1],
      ),
      series("goal", "diamond", COLOURS.goal, ({ goal }) => goal),
    ],
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

if (import.meta.main) {
  const figures = await new Response(Deno.stdin.readable).json();
  console.log(plot(figures));
}
