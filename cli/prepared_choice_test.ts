/** Which prepared kernel the command line asks for. */
import assert from "node:assert/strict";
import { preparedChoice } from "./prepared_choice.ts";

Deno.test("prepared kernel: its name and its options, or a line that says what is wrong", () => {
  assert.deepEqual(preparedChoice({}), undefined);
  assert.deepEqual(preparedChoice({ variant: "full" }), { variant: "full" });
  assert.throws(() => preparedChoice({ variant: "reserch" }), {
    message: /^--variant reserch: .*research/,
  });
  for (const variant of [undefined, "full"]) {
    assert.throws(
      () => preparedChoice({ kconfig: "a", ...(variant && { variant }) }),
      { message: /^--kconfig a: only the research kernel takes options: / },
    );
  }
});
