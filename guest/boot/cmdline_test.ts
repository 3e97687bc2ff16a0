/** The kernel's command line, as Linux takes it apart. */
import assert from "node:assert/strict";
import { KernelCommandLine } from "./cmdline.ts";

const line = (text: string) => new KernelCommandLine(text);
const get = (text: string, name: string) => line(text).get(name);

Deno.test("KernelCommandLine: parameters are divided by blanks, the last one counts", () => {
  assert.equal(get("root=/dev/vda ro", "root"), "/dev/vda");
  assert.equal(get(" \t ro\n root=a  root=b ", "root"), "b");
  assert.equal(get("root=a root", "root"), "a", "a word without a value");
  assert.equal(get("rootfstype=ext4 xroot=a", "root"), undefined);
  assert.equal(get("root=", "root"), "");
  assert.equal(get("root=UUID=1=2", "root"), "UUID=1=2");
  assert.equal(get("=x root=a", "root"), "a");
  assert.equal(get("", "root"), undefined);
  assert(line("quiet ro").has("ro"));
  assert(line("acpi=off acpi=force").has("acpi", "off"));
  assert(!line("acpi=offset noacpi=off").has("acpi", "off"));
  assert(line("virtio-mmio.device=1").has("virtio_mmio.device"), "parameq");
});

Deno.test("KernelCommandLine: double quotes keep blanks, and are taken off the ends", () => {
  assert.equal(get('a="b c" d=e', "a"), "b c");
  assert.equal(get('"a=b c" d=e', "a"), "b c");
  assert.equal(get('"a=b c" d=e', "d"), "e");
  assert.equal(get('a=b" "c d=e', "a"), 'b" "c', "inside they stay");
  assert.equal(get('a="b c"d e', "a"), 'b c"d', "not at the end");
  assert.equal(get('"a b"=c', "a b"), undefined);
  assert.equal(get('a="" b=c', "a"), "");
  assert.equal(get('"acpi=off"', "acpi"), "off");
  assert(line('"a b" c').has("a b"));
  assert.equal(get("a='b c=d'", "a"), "'b", "single ones are none");
  assert.equal(get("a='b c=d'", "c"), "d'");
  assert.equal(get('a="b\\" root=x"', "root"), 'x"', "nothing escapes them");
});

Deno.test("KernelCommandLine: what stands in quotes is not the kernel's", () => {
  const exec = 'quiet X="echo root=$x acpi=off -- ok" console=hvc0';
  assert.equal(get(exec, "root"), undefined);
  assert(!line(exec).has("acpi"));
  assert.equal(get(exec, "console"), "hvc0", "the -- divides nothing there");
});

Deno.test("KernelCommandLine: what stands behind -- is init's", () => {
  assert.equal(get("quiet -- root=x", "root"), undefined);
  assert.equal(get('quiet "--" root=x', "root"), undefined, "as parse_args");
  assert.equal(get("quiet --x root=y", "root"), "y");
  assert.equal(get("quiet --=x root=y", "root"), "y");
  const added = (text: string, ...words: string[]) =>
    line(text).add(...words).toString();
  assert.equal(added("quiet -- foo", "ro", "a=b"), "quiet ro a=b -- foo");
  assert.equal(added("-- foo", "ro"), "ro -- foo");
  assert.equal(added("quiet --", "ro"), "quiet ro --");
  assert.equal(added('a="x -- y"', "ro"), 'a="x -- y" ro');
});

Deno.test("KernelCommandLine: an open quote swallows no word that is added", () => {
  for (const open of ['a="b c', '"a b c', 'a=b" c', 'a=b"', 'a="b -- c']) {
    const added = line(`quiet ${open}`).add("root=/dev/vda", "rw");
    assert.equal(added.toString(), `quiet root=/dev/vda rw ${open}`);
    assert.equal(added.get("root"), "/dev/vda", open);
  }
});

Deno.test("KernelCommandLine: words are added behind the others, each as one word", () => {
  assert.equal(line("").add("a", "b").toString(), "a b");
  assert.equal(line("quiet ").add().toString(), "quiet ");
  assert.equal(line("quiet").add('a="b c"').get("a"), "b c");
  for (const word of ["", " ", "a b", 'a="b', "--", '""', "a "]) {
    assert.throws(() => line("quiet").add(word), {
      name: "VireoError",
      message: `kernel command line: ${JSON.stringify(word)} is not one word`,
    });
  }
});

Deno.test("KernelCommandLine: a kernel gets bytes with a zero behind, up to its limit", () => {
  const bytes = line("é".repeat(1023) + "x").encode();
  assert.equal(bytes.length, 2048);
  assert.equal(bytes.at(-1), 0);
  assert.throws(() => line("é".repeat(1024)).encode(), {
    name: "KernelError",
    message:
      "command line: is 2048 bytes long, and the kernel takes at most 2047",
  });
  assert.throws(() => line("abc").encode(2), {
    name: "KernelError",
    message: "command line: is 3 bytes long, and the kernel takes at most 2",
  });
});

Deno.test("KernelCommandLine: without a parameter, however often it stands there", () => {
  const without = (text: string) =>
    `${new KernelCommandLine(text).without("ip")}`;
  assert.equal(without("a ip=1 b"), "a b");
  assert.equal(without("ip=dhcp"), "");
  assert.equal(without('ip="1 2" quiet ip=3'), "quiet");
  assert.equal(without("ipx=1 x.ip=2"), "ipx=1 x.ip=2");
  assert.equal(without("a -- ip=1"), "a -- ip=1", "it is init's");
});
