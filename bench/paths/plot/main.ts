/**
 * Reads figures over queue depth from standard input, as JSON, and prints the
 * plot of them as SVG.
 *
 * @module
 */
import * as echarts from "echarts";
import type { Figures } from "../depth.ts";

const WIDTH = 960;
const HEIGHT = 720;
const COLOURS = {
  Vireo: "#0b7285",
  QEMU: "#e8590c",
  Firecracker: "#5f3dc4",
} as const;
const MARGIN = { left: 70, top: 80, gap: 90 };
const GRID_WIDTH = (WIDTH - 2 * MARGIN.left - MARGIN.gap) / 2 + 30;
const GRID_HEIGHT = (HEIGHT - MARGIN.top - 2 * MARGIN.gap) / 2 + 20;

/** Four panels: page cache and O_DIRECT, IOPS and median latency. */
function plot({ depths, series: all }: Figures): string {
  const chart = echarts.init(null, null, {
    renderer: "svg",
    ssr: true,
    width: WIDTH,
    height: HEIGHT,
  });
  const panels = [
    { direct: false, key: "kiops", title: "page cache: thousand IOPS" },
    { direct: true, key: "kiops", title: "O_DIRECT: thousand IOPS" },
    { direct: false, key: "latency", title: "page cache: median latency, us" },
    { direct: true, key: "latency", title: "O_DIRECT: median latency, us" },
  ] as const;
  const place = (index: number) => ({
    left: MARGIN.left + (index % 2) * (GRID_WIDTH + MARGIN.gap),
    top: MARGIN.top + 20 + (index >> 1) * (GRID_HEIGHT + MARGIN.gap),
  });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    title: [
      { text: "4 KiB random reads over queue depth", left: "center", top: 10 },
      ...panels.map(({ title }, i) => ({
        text: title,
        textStyle: { fontSize: 14 },
        left: place(i).left - 10,
        top: place(i).top - 36,
      })),
    ],
    legend: { top: 38, data: [...new Set(all.map(({ name }) => name))] },
    grid: panels.map((_, i) => ({
      ...place(i),
      width: GRID_WIDTH,
      height: GRID_HEIGHT,
    })),
    xAxis: panels.map((_, gridIndex) => ({
      gridIndex,
      type: "category",
      data: depths.map(String),
      name: "queue depth",
      nameLocation: "middle",
      nameGap: 26,
    })),
    yAxis: panels.map((_, gridIndex) => ({ gridIndex, type: "value", min: 0 })),
    series: panels.flatMap(({ direct, key }, i) =>
      all.filter((series) => series.direct === direct).map((series) => ({
        type: "line",
        name: series.name,
        xAxisIndex: i,
        yAxisIndex: i,
        color: COLOURS[series.name],
        symbolSize: 7,
        data: series[key],
      }))
    ),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

if (import.meta.main) {
  const figures = await new Response(Deno.stdin.readable).json();
  console.log(plot(figures));
}
