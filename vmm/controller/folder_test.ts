/** Where control sockets are, and which of them go. */
import assert from "node:assert/strict";
import { needing, root } from "../../ffi/testing/needs.ts";
import { UnixListener } from "../../ffi/unix_socket.ts";
import {
  controlFolder,
  controlSockets,
  freeSocket,
  makeFolder,
} from "./folder.ts";

/** A process's number that no process has: the kernel's limit is 2^22. */
const NOBODY = 4_194_305;

function scratch(): Disposable & { path: string } {
  const path = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  const remove = () => Deno.removeSync(path, { recursive: true });
  return { path, [Symbol.dispose]: remove };
}

/** A socket on which nobody listens any more. */
function leaveStale(path: string): void {
  using made = new UnixListener(`${path}.made`, "test");
  Deno.linkSync(made.path, path);
}

Deno.test("control folder: root's, a user's, and where there is no runtime folder", () => {
  assert.equal(controlFolder(0, "/run/user/0"), "/run/vireo");
  assert.equal(controlFolder(7, "/run/user/7"), "/run/user/7/vireo");
  assert.equal(controlFolder(7, "relative"), "/tmp/vireo-7");
  assert.equal(controlFolder(7, undefined), "/tmp/vireo-7");
});

Deno.test("control folder: made for its owner only; what others can enter is refused", () => {
  using dir = scratch();
  const folder = `${dir.path}/vireo`;
  makeFolder(folder);
  makeFolder(folder);
  assert.equal(Deno.lstatSync(folder).mode! & 0o777, 0o700);
  for (const mode of [0o755, 0o710, 0o707]) {
    Deno.chmodSync(folder, mode);
    for (const use of [makeFolder, controlSockets]) {
      assert.throws(() => use(folder), {
        message: `"${folder}" is no folder that only you can enter (chmod 700)`,
      });
    }
  }
  Deno.removeSync(folder);
  Deno.symlinkSync(dir.path, folder);
  assert.throws(() => makeFolder(folder), /is no folder that only you/);
  assert.throws(() => makeFolder(`${dir.path}/a/b`), Deno.errors.NotFound);
  assert.deepEqual([...controlSockets(`${dir.path}/none`)], []);
});

Deno.test(needing([root("gives a folder away")], {
  name: "control folder: somebody else's is refused",
  fn() {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o700);
    Deno.chownSync(dir.path, 65534, 65534);
    assert.throws(() => makeFolder(dir.path), /is no folder that only you/);
    assert.throws(() => controlSockets(dir.path), /is no folder that only/);
  },
}));

Deno.test("control folder: what killed processes leave goes, and nothing else", () => {
  using dir = scratch();
  const { path } = dir;
  Deno.chmodSync(path, 0o700);
  leaveStale(`${path}/${NOBODY}.sock`);
  leaveStale(`${path}/${NOBODY}.2.sock`);
  // Its process is there: it may be about to listen.
  leaveStale(`${path}/${Deno.pid}.sock`);
  // Of a process in another container, which listens.
  using _other = new UnixListener(`${path}/${NOBODY + 1}.sock`, "test");
  Deno.writeTextFileSync(`${path}/${NOBODY + 2}.sock`, "no socket");
  for (const name of ["notes", "007.sock", "x.sock", "1.sock.d"]) {
    Deno.writeTextFileSync(`${path}/${name}`, "");
  }
  const listed = [...controlSockets(path).keys()].toSorted();
  const stay = [`${Deno.pid}`, `${NOBODY + 1}`, `${NOBODY + 2}`];
  assert.deepEqual(listed, stay.toSorted());
  const names = [...Deno.readDirSync(path)].map(({ name }) => name);
  assert.ok(!names.includes(`${NOBODY}.sock`));
  assert.ok(!names.includes(`${NOBODY}.2.sock`));
  assert.equal(names.length, 3 + 4);

  // What an earlier process of this number has left is in nobody's way, and a
  // second machine has a number.
  const first = freeSocket(path);
  assert.equal(first, `${path}/${Deno.pid}.sock`);
  using _first = new UnixListener(first, "test");
  assert.equal(freeSocket(path), `${path}/${Deno.pid}.2.sock`);
});
