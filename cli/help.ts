/**
 * What help says beside the lists of commands and options. No line is longer
 * than 80 columns, and the first two are examples.
 *
 * @module
 */
import { CLOUD_KERNEL, KERNEL_SOURCE } from "../ffi/packages.ts";
import { BUSYBOX } from "./options.ts";

/** Columns of a terminal. */
export const HELP_WIDTH = 80;

/** What stands before a help's "Usage", and at its end. */
export interface HelpText {
  /** Two command lines, each with what it does. */
  readonly examples: string;
  /** What the lists don't say. */
  readonly details?: string;
}

/** The help without a command. */
export const VIREO_HELP: HelpText = {
  examples: `
  vireo boot                          Linux, with a shell; Ctrl-A x ends it
  vireo boot --exec 'uname -a'        a command in it; its output and status`,
};

/** What `vireo snapshot` can do: what each takes, and does. */
export const SNAPSHOT_ACTIONS = {
  create: ["MACHINE FOLDER", "saves a machine that runs, by its name or PID"],
  diff: ["FOLDER FOLDER", "what is otherwise in the second one"],
  inspect: ["FOLDER", "what is in it"],
  ls: ["[FOLDER]", "snapshots in it, their sizes, and who runs on them"],
  merge: ["BASE DIFF [FOLDER]", "makes a diff whole again, there or elsewhere"],
  rm: ["FOLDER", "removes one that no machine runs on"],
  verify: ["FOLDER", "reads all of it, and says whether it is whole"],
} as const satisfies Record<string, readonly [takes: string, does: string]>;

const snapshotActions = Object.entries(SNAPSHOT_ACTIONS).map(
  ([name, [takes, does]]) => `${name} ${takes}`.padEnd(23) + does,
);

/** The commands' help. */
export const HELP = {
  boot: {
    examples: `
  vireo boot --quiet --exec 'cat /proc/meminfo'
  vireo boot --disk data.ext4,ro --net passt --cpus 4 --memory 1G`,
    details: `
Without KERNEL, boots the prepared kernel (built on first use) with a busybox
root image on /dev/vda. KERNEL is a vmlinux (64-bit ELF), a bzImage, a kernel
with a PVH entry, or one of these compressed: "vireo inspect KERNEL" says what
it is. With KERNEL, there is no root disk unless --root says so; "--root
${BUSYBOX}" is the prepared image.

With --distro debian, boots Debian's ${CLOUD_KERNEL}, fetched by apt-get
without installing it, with an initial RAM disk that loads its virtio modules:
a busybox shell, or with --root the system on that disk.

The serial console is standard input and output. On a terminal, Ctrl-A x ends
the machine. Input from a pipe is typed into the guest's shell, and the guest
powers off after its end:
  echo 'uname -a' | vireo boot
What nobody reads makes the guest wait, once 64 KiB of it are kept for a reader.

With --exec, standard output is the output of the commands, and the exit status
is theirs; the kernel's log goes to standard error. A guest that can't come to
them ends, with the last lines that it said: after a panic, after 45 seconds
of idle silence (150 with --quiet), or after ten minutes of busy silence.

--timeout counts from the guest's start. When it is over, the last lines of the
console go to standard error, and the exit status is 124.

On a host whose KVM emulates kernel code (see "vireo probe"), a KERNEL gets
words on its command line that help there, and a line on standard error says so.

Disks after the root disk are /dev/vdb, /dev/vdc, ... A disk with ",ro" is never
opened for writing; ",direct" bypasses the host's page cache; ",queues=4" gives
up to four vCPUs a request queue of their own. A comma in a path is written
twice, here and in all options that commas part.

A network needs a TAP, made by root once, or passt:
  ip tuntap add tap0 mode tap
  ip addr add 10.0.0.1/24 dev tap0
  ip link set tap0 up
  vireo boot --net tap=tap0 --cmdline 'ip=10.0.0.2::10.0.0.1:255.255.255.0'

A kernel with ACPI finds its devices in ACPI tables, any other one by words on
its command line. --acpi on and --acpi off choose for it.

With --vsock, host programs reach port 52 of the guest by writing "CONNECT 52"
and a newline to the Unix socket PATH; the guest's programs reach port 52 of the
host (CID 2) if somebody listens on the Unix socket PATH_52.

A bzImage is unpacked on the host. --entry bzimage lets the guest do it, and
--entry pvh enters a kernel as its PVH note says.

With --console virtio the guest's console is hvc0, and costs the guest far less
than the serial port. A --port is /dev/vport1p0 or so in the guest; programs on
the host connect to its socket, one at a time.

With --balloon the guest gives up MIB of its memory to the host; with
"reporting" also what it frees, as it goes.

--snapshot-on signal FOLDER saves the machine at each SIGUSR2 (which ends any
other), --snapshot-on text "WORDS" FOLDER when its console first shows them.

Exit status: 0 after power-off, reset or Ctrl-A x; with --exec that of the
commands; 1 after an error or a triple fault; 124 after --timeout. SIGTERM and
its like end the machine in order, and then Vireo: 143 and so on.`,
  },
  run: {
    examples: `
  vireo run --config examples/vm.json
  vireo run --config vm.json --timeout 60`,
    details: `
FILE is JSON in the format of Firecracker's --config-file; docs/configuration.md
has all keys, and those that Vireo adds. Relative paths in it are relative to
the working directory. examples/vm.json is one to begin with.
Console and exit status are as with "boot", but input that is at its end from
the start, as a service manager gives it, does not power the guest off.`,
  },
  restore: {
    examples: `
  vireo boot --snapshot-on text '/ # ' s            saves a machine
  vireo restore s                                   goes on with it`,
    details: `
The machine goes on where it was saved, as often as you like, with its console
on standard input and output, as with "run". Unless FOLDER is where you saved
it, and only you can write to it, what it had of the host is to be given: disks
by their names, such as --disk vireo-1=data.ext4, all else in a --config with
the keys of "run"'s that are otherwise now. With --trust, the snapshot's word is
taken for all of it but modules, which are code.

A guest with an agent (--agent) is told of another disk, of which it drops what
it has read, and of another guest_mac, with which it asks for its address anew,
if that came by DHCP. It takes a command in the guest, as of "vireo exec".

With --pages, memory comes from elsewhere, each page when it is first touched:
from a program that speaks Firecracker's userfaultfd protocol on the socket PATH
(examples/page_handler.ts is one), or from the function that is the default
export of MODULE: (offset, length) => bytes.`,
  },
  ps: {
    examples: `
  vireo ps                                          this user's machines
  vireo ps --json                                   the same for programs`,
    details: `
A machine is seen from a moment after its start until its end, unless it was
started with --no-control. It is called by its PID, or by its --name. Each has a
socket that only you and root can use: PID.sock in $XDG_RUNTIME_DIR/vireo, and
root's in /run/vireo. With such a path, root can name any user's machine:
  sudo vireo pause /run/user/1000/vireo/4711.sock`,
  },
  pause: {
    examples: `
  vireo boot --name web                             in one terminal
  vireo pause web                                   in another`,
  },
  resume: {
    examples: `
  vireo resume web                                  after "vireo pause web"
  vireo resume 4711                                 by its PID`,
  },
  exec: {
    examples: `
  vireo boot --name web --agent                     in one terminal
  vireo exec web 'ps | grep sh'                     in another; or: exec -t web`,
    details: `
One word is for the guest's shell; several are a program and its arguments, as
they are. Standard input, output and error are the command's. The machine is one
with the prepared root image, started with --agent, or with "agent" of "console"
in its file.

Exit status: the command's, 128 and its number after a signal; 255 when Vireo
could not run it, or the machine has ended; 124 after --timeout. SIGINT, SIGTERM
and their like are the command's, too; the second one ends Vireo at once, and
the command with it. With -t, Ctrl-A x does.`,
  },
  cp: {
    examples: `
  vireo cp tool web:/tmp                            to the guest's /tmp/tool
  vireo cp -r web:/var/log logs                     a folder, and back`,
    details: `
MACHINE is a name or PID, as with "exec", and takes the same of the machine. A
relative PATH begins in /root; a file here whose name has a colon is ./a:b. The
file is there whole, with its mode, or as it was before. With -r a folder, its
files, folders and links are there whole, where nothing was before.`,
  },
  "power-button": {
    examples: `
  vireo power-button web                            by its name
  vireo power-button 4711                           by its PID`,
    details: `
Only a guest with ACPI has one (--acpi on); what it does then is its own choice.`,
  },
  gdb: {
    examples: `
  vireo gdb web                                     a machine by its name
  vireo gdb 4711 ~/linux/vmlinux                    with other symbols`,
    details: `
The machine stands still while gdb has it, and goes on when gdb has ended. With
a bzImage of a kernel's own folder, the vmlinux there is taken. "vireo boot
--gdb unix,wait" lets gdb begin with the guest's first instruction;
docs/observe.md says what a host can do.`,
  },
  dump: {
    examples: `
  vireo dump web core                               the machine goes on
  vireo dump 4711 core; gdb vmlinux core            and is looked at later`,
    details: `
FILE has the memory at its virtual addresses and the registers of each vCPU. It
is as large as the memory, with holes where that is zero, and only yours.`,
  },
  snapshot: {
    examples: `
  vireo snapshot create web saved       saves a machine, which goes on
  vireo snapshot inspect saved          CPUs, devices, memory`,
    details: `
${snapshotActions.join("\n")}`,
  },
  switch: {
    examples: `
  vireo switch lan.sock far.sock,latency=20,loss=0.01
  vireo boot --net switch=lan.sock                  in another terminal`,
    details: `
Each machine that connects to SOCKET gets a port of its own. What a link does to
each frame, in both directions:
  latency=MS, jitter=MS  its way takes so long, and up to so much longer
  loss=FRACTION          so many are lost by chance, which is the same for the
                         same seed=N
  rate=BITS              per second: 10M, 500k
  pcap=FILE              gets a copy, for tcpdump -r
QEMU joins with -netdev stream,id=n0,server=off,addr.type=unix,addr.path=SOCKET.
SIGINT ends the switch; the machines' links are down then.`,
  },
  api: {
    examples: `
  vireo api --api-sock /run/vm.socket --id web      waits for requests
  vireo api --api-sock vm.socket --config-file vm.json`,
    details: `
Firecracker's API on a Unix socket, with its command line: one machine, which
its clients make and steer. bin/firecracker is the same, for clients that want
the path of Firecracker's binary. docs/api.md says what is the same and what is
not.`,
  },
  top: {
    examples: `
  vireo top                             all machines; Ctrl-C ends it
  vireo top web --once                  one of them, once`,
    details: `
P99 is what 99 of 100 requests stayed below, as a power of two.`,
  },
  trace: {
    examples: `
  vireo boot --trace t.json                         writes a trace
  vireo trace summary t.json                        what took how long in it`,
    details: `
ui.perfetto.dev and chrome://tracing show such a file as a picture.`,
  },
  probe: {
    examples: `
  vireo probe                         a table, and what it means
  vireo probe --json                  the same for programs`,
    details: `
Measures in guests of a few bytes, for about a second, and needs no kernel.
Exit status: 1 when Vireo can't run here.`,
  },
  demo: {
    examples: `
  vireo demo                          a disk
  sudo vireo demo                     and a network`,
    details: `
Boots Vireo's own small guest, whose drivers write, flush, read and verify a
scratch disk and, when this may make a network namespace with a TAP, ping the
host. No kernel is needed.`,
  },
  inspect: {
    examples: `
  vireo inspect /boot/vmlinuz-6.1.0-56-amd64
  vireo inspect --json vmlinux`,
    details: `
Tells formats by content: vmlinux (ELF), bzImage, and either compressed with
gzip, xz, lz4, zstd, lzma, bzip2 or lzo. What drivers are in a kernel is known
when it has its configuration inside (CONFIG_IKCONFIG), or in a file beside it
like /boot/config-VERSION. Needs no /dev/kvm.`,
  },
  prepare: {
    examples: `
  vireo prepare --all --export guest.tar.gz    here
  vireo prepare --from guest.tar.gz            there; or a URL, or a folder`,
    details: `
Builds the guest kernel from Debian's ${KERNEL_SOURCE} and a busybox root image,
and keeps them in ~/.cache/vireo. Installs the Debian packages that it needs
when it runs as root, else prints the command that does. "boot" does this by
itself. The small kernel boots the quickest and has one CPU; the full one has
several, ACPI and PCI. With --all, both are built, and bzImages of the full one.
"--variant research" is a kernel to look into: with modules, symbols, ftrace,
kprobes, KCOV; it takes longer, and options of your own with --kconfig.

--export puts them into an archive for a machine without a network, or without
the time; there --from takes what these sources need out of it, and checks each
file's SHA-256.`,
  },
  completion: {
    examples: `
  source <(vireo completion bash)     in ~/.bashrc
  source <(vireo completion zsh)      in ~/.zshrc, after compinit`,
  },
  help: {
    examples: `
  vireo help boot                     the same as "vireo boot --help"
  vireo help                          all commands`,
  },
} as const satisfies Record<string, HelpText>;
