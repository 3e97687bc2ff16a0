/**
 * A process is killed while its machine, which is at work, is being saved. What
 * is in the folder is whole, and goes on.
 *
 * @module
 */
import assert from "node:assert/strict";
import { KVM } from "../../../ffi/testing/needs.ts";
import { Machine } from "../../../vmm/machine.ts";
import { verifyFolder } from "../../../vmm/snapshot/mod.ts";
import { command, ScratchFile } from "../../../vmm/testing/mod.ts";
import { lastRecord, recorded } from "../../../vmm/testing/records.ts";
import { type Campaign, Folder } from "./campaign.ts";

const PROGRAM = new URL(
  "../../../vmm/testing/save_machine_forever.ts",
  import.meta.url,
).pathname;
/** Longer than one save takes, in milliseconds. */
const SPAN = 90;

/** Kills in the middle of saves, evenly over the time that one takes. */
export const KILLS: Campaign = {
  rounds: 50,
  needs: [KVM],
  async run(rounds, say) {
    using folder = new Folder();
    using disk = new ScratchFile(4 << 20);
    const saved = `${folder.path}/saved`;
    let middle = 0;
    const states = new Set<string>();
    for (let round = 1; round <= rounds; round++) {
      await killed(disk.path, saved, SPAN * (round - 1) / rounds);
      const files = [...Deno.readDirSync(saved)].map(({ name }) => name);
      if (files.length > 2) middle++;
      verifyFolder(saved);
      states.add(Deno.readTextFileSync(`${saved}/state.json`));
      const record = await goesOn(saved, disk.path, folder.path);
      say(`kill ${round}: ${files.length} files; record ${record} and on`);
    }
    return `${rounds} kills, ${middle} of them between a save's beginning and ` +
      `end: whole each time, ${states.size} states, each of which goes on`;
  },
};

/** Kills it at a time after the first save of it. */
async function killed(disk: string, to: string, time: number): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", PROGRAM, disk, to],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  assert.ok(value, "it ended");
  await new Promise((done) => setTimeout(done, time));
  child.kill("SIGKILL");
  reader.releaseLock();
  await Promise.all([child.status, child.stdout.cancel()]);
}

/** It does, on a copy of the disk; the record that it tells of first. */
async function goesOn(
  saved: string,
  disk: string,
  folder: string,
): Promise<number> {
  const copy = `${folder}/disk`;
  await command("cp", "--sparse=always", disk, copy);
  let output = "";
  const overrides = { drives: [{ drive_id: "d", path_on_host: copy }] };
  await using machine = await Machine.restore(saved, overrides as never, {
    onOutput: (bytes) => void (output += new TextDecoder().decode(bytes)),
  });
  machine.start();
  await recorded(() => output, 0);
  const record = lastRecord(output);
  await recorded(() => output, record + 2);
  return record;
}
