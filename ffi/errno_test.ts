/** Errors, ioctl numbers and plain descriptors. */
import assert from "node:assert/strict";
import {
  check,
  Errno,
  errno,
  errnoName,
  errnoText,
  SystemError,
  VireoError,
} from "./errno.ts";
import {
  closeFd,
  cString,
  endOfFile,
  isTerminal,
  Open,
  openFd,
  tryLock,
  unlock,
} from "./file.ts";
import { _IO, _IOR, _IOW, _IOWR } from "./ioctl.ts";
import { descriptorsOfProcess } from "./testing/mmap.ts";
import { libc } from "./libc.ts";

Deno.test("errno: every constant has the kernel's name for its value", () => {
  for (const [name, value] of Object.entries(Errno)) {
    assert.equal(errnoName(value), name);
    assert.notEqual(errnoText(value), "unknown error");
  }
  assert.equal(errnoName(4000), "errno 4000");
  assert.equal(errnoText(4000), "unknown error");
});

Deno.test("errno: is this thread's, after a failed call", () => {
  assert.equal(libc.close(-1), -1);
  assert.equal(errnoName(errno()), "EBADF");
  assert.equal(libc.open(cString("/no/such/file"), 0, 0), -1);
  assert.equal(errno(), Errno.ENOENT);
});

Deno.test("SystemError: operation, object, name, text, advice", () => {
  const error = new SystemError('open disk "a.raw"', Errno.EACCES, "try sudo");
  assert.equal(
    error.message,
    'open disk "a.raw": EACCES (Permission denied); try sudo',
  );
  assert.equal(error.code, "EACCES");
  assert.equal(error.errno, 13);
  assert.ok(error instanceof VireoError);
});

Deno.test("check: passes results on, and throws with errno when negative", () => {
  assert.equal(check(0, "x"), 0);
  assert.equal(check(7, () => assert.fail("not needed")), 7);
  const close = () => check(libc.close(-1), () => "close it");
  assert.throws(close, { message: "close it: EBADF (Bad file descriptor)" });
});

Deno.test("openFd: names what could not be opened", () => {
  assert.throws(
    () => openFd("/no/such", Open.RDONLY, "kernel"),
    { message: 'open kernel "/no/such": ENOENT (No such file or directory)' },
  );
});

Deno.test("openFd: descriptors are closed on exec, and closeFd closes them", () => {
  const fd = openFd("/dev/null", Open.RDONLY, "null");
  const FD_CLOEXEC = 1;
  const F_GETFD = 1;
  assert.equal(libc.fcntl(fd, F_GETFD, 0), FD_CLOEXEC);
  assert.equal(descriptorsOfProcess().get(fd), "/dev/null");
  assert.equal(isTerminal(fd), false);
  closeFd(fd);
  assert.equal(descriptorsOfProcess().get(fd), undefined);
});

Deno.test("endOfFile: is right beyond 4 GiB", () => {
  const path = Deno.makeTempFileSync();
  try {
    Deno.truncateSync(path, 5 * 2 ** 30 + 512);
    const fd = openFd(path, Open.RDONLY, "file");
    assert.equal(endOfFile(fd), 5 * 2 ** 30 + 512);
    closeFd(fd);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("tryLock: what fails for another reason than a lock is an error, with it", () => {
  assert.throws(
    () => tryLock(9999, true, 'disk "a"'),
    /^SystemError: lock disk "a": EBADF \(.*\); without a lock/,
  );
});

Deno.test("tryLock: many readers or one writer, until unlock", () => {
  const path = Deno.makeTempFileSync();
  const [a, b] = [1, 2].map(() => openFd(path, Open.RDWR, "file"));
  try {
    assert.equal(tryLock(a!, false, "file"), true);
    assert.equal(tryLock(b!, false, "file"), true);
    unlock(b!);
    assert.equal(tryLock(b!, true, "file"), false);
    unlock(a!);
    assert.equal(tryLock(b!, true, "file"), true);
    assert.equal(tryLock(a!, false, "file"), false);
  } finally {
    closeFd(a!);
    closeFd(b!);
    Deno.removeSync(path);
  }
});

Deno.test("ioctl: numbers are those of the kernel's headers", () => {
  assert.equal(_IO(0xae, 0x80), 0xae80); // KVM_RUN
  assert.equal(_IOR(0xae, 0x81, 144), 0x8090ae81); // KVM_GET_REGS
  assert.equal(_IOW(0x54, 202, 4), 0x400454ca); // TUNSETIFF
  assert.equal(_IOWR(0xae, 0x05, 8), 0xc008ae05); // KVM_GET_SUPPORTED_CPUID
});
