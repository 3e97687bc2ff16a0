/** Snapshots with another state than was saved. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { savedFolder } from "./saved_folder.ts";
import { fuzzStates } from "./state.ts";

Deno.test(needing([KVM], {
  name: "fuzz: a snapshot's state, 400 times changed",
  async fn() {
    using folder = await savedFolder();
    const { opened, refused } = fuzzStates(
      folder.path,
      1,
      (count) => count < 400,
    );
    assert.ok(opened > 20, `${opened} were opened`);
    assert.ok(refused.size > 30, [...refused].join("\n"));
  },
}));
