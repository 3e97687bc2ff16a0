/** LEDs that a guest lights, in the terminal: deno run -A examples/lab/panel.ts [CHANGES] */
import { Machine } from "../../mod.ts";
import Leds from "./leds.ts";
import { light } from "./light.ts";

export default class Panel extends Leds {
  override async write(...access: [number, number, number]): Promise<void> {
    super.write(...access);
    await new Promise((done) => setTimeout(done, 100)); // the guest waits
  }
}

if (import.meta.main) {
  let left = Number(Deno.args[0] ?? Infinity);
  const terminal = Deno.stdout.isTerminal();
  const [lit, dark] = terminal ? ["\x1b[91m●\x1b[0m", "○"] : ["●", "○"];
  const edge = "─".repeat(17);
  let again = ""; // over the picture before
  const device = { module: import.meta.url, port: 1, address: 0x300 };
  await using machine = await Machine.create({
    "boot-source": { kernel_image_path: light, boot_args: "" },
    "bus-devices": [device],
  }, {
    onEvent({ data }) {
      if (left-- <= 0) return void machine.stop();
      const bits = [7, 6, 5, 4, 3, 2, 1, 0].map((n) => Number(data) >> n & 1);
      const row = bits.map((bit) => bit ? lit : dark).join(" ");
      console.log(terminal ? `${again}╭${edge}╮\n│ ${row} │\n╰${edge}╯` : row);
      again = "\x1b[3A"; // three lines up
    },
  });
  machine.start();
  await machine.wait();
}
