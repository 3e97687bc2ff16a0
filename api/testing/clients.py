"""For tests: unmodified clients of Firecracker from PyPI, each through the calls
that it has. Arguments: the binary, a kernel, a folder for files, the client."""

import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
import time
import types
from pathlib import Path

BINARY, KERNEL, FOLDER, CLIENT = sys.argv[1:]
PACKAGES = sysconfig.get_paths()["purelib"]
STATE, MEMORY = f"{FOLDER}/vm.state", f"{FOLDER}/vm.memory"
processes = []


def path(name):
    return f"{FOLDER}/{name}"


def listens(path):
    """A socket is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def start(name, *args):
    """A process, and its socket."""
    address = path(f"{name}.socket")
    log = open(path(f"{name}.log"), "w")
    command = [BINARY, "--api-sock", address, *args]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log)
    processes.append(process)
    while not listens(address):
        assert process.poll() is None, "it has ended"
        time.sleep(0.01)
    return process, address


def end(process):
    """Clients take a death by SIGTERM for the end that they asked for."""
    process.terminate()
    assert process.wait() == -15, process.returncode
    for name in os.listdir(FOLDER):
        if name.endswith(".sock"):
            os.unlink(path(name))


def module(name, file):
    """One module of a package, without what the rest of it wants."""
    spec = importlib.util.spec_from_file_location(name, f"{PACKAGES}/{file}")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def refuses(call, *texts):
    try:
        call()
    except Exception as error:
        assert all(text in str(error) for text in texts), error
        return
    raise AssertionError("it was not refused")


def smolvm():
    from smolvm.api import FirecrackerClient

    process, socket = start("smolvm", "--id", "smolvm")
    client = FirecrackerClient(Path(socket))
    client.wait_for_socket()
    client.set_boot_source(Path(KERNEL), "x")
    client.set_machine_config(1, 16)
    client.add_drive("rootfs", Path(path("a.img")), is_root_device=True)
    client.add_vsock_device(3, path("smolvm.sock"))
    client.start_instance()
    refuses(client.start_instance, "not supported after starting the microVM")
    assert client.get_instance_info()["state"] == "Running"
    client.pause_vm()
    assert client.get_instance_info()["state"] == "Paused"
    client.create_snapshot(Path(STATE), Path(MEMORY))
    client.resume_vm()
    client.close()
    end(process)
    process, socket = start("smolvm-2")
    client = FirecrackerClient(Path(socket))
    client.load_snapshot(Path(STATE), Path(MEMORY), resume_vm=True)
    assert client.get_instance_info()["state"] == "Running"
    end(process)


def bandsox():
    client_of = module("bandsox_client", "bandsox/firecracker.py").FirecrackerClient
    process, socket = start("bandsox")
    client = client_of(socket)
    client.wait_for_socket()
    client.put_boot_source(KERNEL, "x")
    client.put_machine_config(1, 16)
    client.put_drives("rootfs", path("a.img"), True, False, 10, 100)
    client.put_entropy()
    client.put_vsock("vsock0", 3, path("bandsox.sock"))
    client.instance_start()
    client.patch_drive("rootfs", path("b.img"))
    client.pause_vm()
    client.create_snapshot(STATE, MEMORY)
    client.resume_vm()
    end(process)
    os.rename(path("b.img"), path("away"))
    process, socket = start("bandsox-2")
    refuses(
        lambda: client_of(socket).load_snapshot(STATE, MEMORY),
        f"No such file or directory (os error 2) {path('b.img')}",
    )
    assert process.wait() == 1
    os.rename(path("away"), path("b.img"))
    process, socket = start("bandsox-3")
    client = client_of(socket)
    client.load_snapshot(STATE, MEMORY)
    client.resume_vm()
    end(process)


def hysn():
    package = types.ModuleType("hysn")
    package.__path__ = [f"{PACKAGES}/firecracker"]
    sys.modules["hysn"] = package
    module("hysn.exceptions", "firecracker/exceptions.py")
    api_of = module("hysn.api", "firecracker/api.py").Api
    process, socket = start("hysn", "--log-path", path("hysn.lines"))
    api = api_of(socket)
    assert api.version.get().json()["firecracker_version"]
    api.boot.put(kernel_image_path=KERNEL, boot_args="x")
    api.machine_config.put(vcpu_count=1, mem_size_mib=16)
    api.drive.put(
        drive_id="rootfs",
        path_on_host=path("a.img"),
        is_root_device=True,
        is_read_only=False,
    )
    api.vsock.put(guest_cid=3, uds_path=path("hysn.sock"))
    refuses(
        lambda: api.mmds_config.put(version="V2", network_interfaces=["eth0"]),
        "does not correspond to any existing network interface",
    )
    api.mmds.put(latest={"user-data": "x"})
    api.actions.put(action_type="InstanceStart")
    assert api.describe.get().json()["state"] == "Running"
    assert api.vm_config.get().json()["machine-config"]["vcpu_count"] == 1
    api.close()
    api = api_of(socket)
    api.vm.patch(state="Paused")
    api.create_snapshot.put(mem_file_path=MEMORY, snapshot_path=STATE)
    api.vm.patch(state="Resumed")
    end(process)
    process, socket = start("hysn-2")
    api = api_of(socket)
    api.load_snapshot.put(
        enable_diff_snapshots=True,
        mem_backend={"backend_type": "File", "backend_path": MEMORY},
        snapshot_path=STATE,
        resume_vm=True,
        network_overrides=[],
    )
    assert api.describe.get().json()["state"] == "Running"
    end(process)


for image in ["a.img", "b.img"]:
    with open(path(image), "wb") as file:
        file.truncate(1 << 20)
try:
    {"smolvm": smolvm, "bandsox": bandsox, "hysn": hysn}[CLIENT]()
finally:
    for one in processes:
        if one.poll() is None:
            one.kill()
print("ok")
