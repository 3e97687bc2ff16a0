/**
 * An option of the command line, made of its row.
 *
 * @module
 */
import { Option } from "commander";
import type { OptionRow } from "../vmm/devices/kind.ts";

/** It keeps its row, for who wants to know what its value can be. */
export class RowOption extends Option {
  /** What it was made of. */
  readonly row: OptionRow;

  /** An option as its row says. */
  constructor(row: OptionRow) {
    // The parser gives an option one value; more are folded into that.
    super(row.flags.replace(/> .*/, ">"), row.about);
    this.flags = row.flags;
    this.row = row;
    this.default(row.default);
    if (row.repeatable) this.default([]).argParser(collect);
  }
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}
