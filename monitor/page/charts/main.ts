/**
 * Prints the library that draws the live page's charts, as a browser takes it.
 * It is downloaded when it is first asked for, and kept by Deno.
 *
 * @module
 */
// This is what downloads it; the rest isn't loaded here.
import "echarts/package.json" with { type: "json" };

const file = new URL(import.meta.resolve("echarts/dist/echarts.min.js"));
using library = await Deno.open(file);
await library.readable.pipeTo(Deno.stdout.writable);
