/**
 * For tests: a guest's shell on its main console.
 *
 * @module
 */
import { until } from "../../ffi/testing/until.ts";
import type { TestMachine } from "./mod.ts";

/**
 * Types a command; returns what it prints, when it has ended.
 *
 * @param mark a word and a number, of no other command of this guest's
 */
export async function answer(
  test: TestMachine,
  command: string,
  mark: string,
): Promise<string> {
  const from = test.output.length;
  // The quotes keep the echo of this line from looking like its answer.
  const line = `${command}; echo "<"${mark}">"\n`;
  test.machine.input(new TextEncoder().encode(line));
  const end = () => test.output.indexOf(`<${mark}>`, from);
  const over = () => /^end(ed|ing)$/.test(test.machine.state);
  const { output } = test;
  await until(() => end() >= 0 || over(), `<${mark}>`, () => test.output);
  if (end() < 0) {
    const { reason, message = "" } = await test.machine.wait();
    throw new Error(
      `${command}: ${reason} ${message}\n${output}\n${test.output}\n${test.log}`,
    );
  }
  return test.output.slice(from, end()).trim();
}
