"""A warm parent: a process that has loaded torch and the package, and forks others that need not load them.

Starting `python -m parampi` takes two seconds of a processor, nearly all of them for imports; forking takes milliseconds. Tests
start ranks, and runs to be killed, by `warm_command("-m", MODULE, ...)` in the place of `python -m MODULE ...`, unless they are
about the start itself. The parent has no other threads and computes nothing, so that its children are as new processes are.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENT = Path(__file__).with_name("warm_client.py")
PRELOADED = (
    "torch", "torch.func", "numpy", "netCDF4", "h5py", "xarray", "yaml", "safetensors.torch", "pydantic", "click", "tqdm",
    "parampi.ensemble", "parampi.samplers", "parampi.solvers", "parampi.fields", "parampi.run.job", "parampi.commands.main",
    "pytest",
)  # fmt: skip


def warm_command(*arguments: object) -> list[str]:
    """A command that is as `python ARGUMENTS`, which are `-W` options and `-m MODULE ...`, forked from the warm parent."""
    return [sys.executable, "-I", "-S", str(CLIENT), parent_of_children(), *map(str, arguments)]


def warm_program(folder: Path) -> str:
    """Write `parampi` into a folder, forked from the warm parent, for what is given a PATH; returns the folder."""
    folder.mkdir()
    program = folder / "parampi"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(warm_command("-m", "parampi"))} "$@"\n')
    program.chmod(0o755)
    return str(folder)


@cache
def parent_of_children() -> str:
    """Start the warm parent, which ends with this process; its socket."""
    path = str(Path(tempfile.mkdtemp(prefix="parampi-warm-")) / "socket")
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", path], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )  # fmt: skip
    atexit.register(end, parent, path)
    until = time.monotonic() + 120
    while not os.path.exists(path):
        if parent.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the warm parent of tests did not come up")
        time.sleep(0.02)
    return path


def end(parent: "subprocess.Popen[bytes]", path: str) -> None:
    """End the parent, and with it all children that are left."""
    parent.communicate()
    shutil.rmtree(Path(path).parent, ignore_errors=True)


@dataclass(frozen=True)
class Child:
    """A forked process, and the connection to the client that stands for it."""

    pid: int
    connection: socket.socket
    watch: int


class Parent:
    """Forks whatever clients ask for."""

    def __init__(self, path: str):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.chooser = selectors.DefaultSelector()
        self.chooser.register(self.listener, selectors.EVENT_READ)
        self.chooser.register(sys.stdin, selectors.EVENT_READ)

    def serve(self) -> "tuple[dict, list[int]]":
        """In the parent this ends with the process; it returns in children, with what is asked for and the open files."""
        while True:
            for key, _ in self.chooser.select():
                if key.fileobj is sys.stdin:
                    self.end()
                if key.fileobj is not self.listener:
                    self.attend(key)
                elif asked := self.fork():
                    return asked

    def fork(self) -> "tuple[dict, list[int]] | None":
        """In the child what is asked for, else None."""
        connection, _ = self.listener.accept()
        request, files = received(connection)
        pid = os.fork()
        if pid == 0:
            for key in list(self.chooser.get_map().values()):
                if key.fileobj is not sys.stdin:
                    os.close(key.fd)
            self.chooser.close()
            connection.close()
            return request, files
        for file in files:
            os.close(file)
        child = Child(pid, connection, os.pidfd_open(pid))
        self.chooser.register(connection, selectors.EVENT_READ, child)
        self.chooser.register(child.watch, selectors.EVENT_READ, child)
        return None

    def end(self) -> None:
        for key in self.chooser.get_map().values():
            if isinstance(key.data, Child) and key.fd == key.data.watch:
                signal.pidfd_send_signal(key.fd, signal.SIGKILL)
        os._exit(0)

    def attend(self, key: selectors.SelectorKey) -> None:
        """Pass a signal on to a child, kill it where its client is gone, or tell the client how it ended."""
        child: Child = key.data
        if child.connection.fileno() < 0:
            return  # it ended in this very moment
        if key.fileobj is child.connection:
            number = child.connection.recv(1)
            signal.pidfd_send_signal(child.watch, number[0] if number else signal.SIGKILL)
            if not number:
                self.chooser.unregister(child.connection)
            return
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        self.chooser.unregister(child.watch)
        os.close(child.watch)
        with contextlib.suppress(KeyError):
            self.chooser.unregister(child.connection)
        with contextlib.suppress(OSError):
            child.connection.sendall(str(code).encode())
        child.connection.close()


def received(connection: socket.socket) -> "tuple[dict, list[int]]":
    """A client's request, and its files as they are numbered here."""
    size, files, *_ = socket.recv_fds(connection, 4, 16)
    left, parts = int.from_bytes(size, "big"), b""
    while len(parts) < left:
        parts += connection.recv(left - len(parts))
    return json.loads(parts), files


def become(request: dict, files: list[int]) -> list[str]:
    """Take files, environment, folder and options of the process that is asked for; its module and arguments."""
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, 512) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(high, request["files"], strict=True):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[:0] = [request["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    arguments = request["arguments"]
    options = []
    while arguments[0] == "-W":
        options.append(arguments[1])
        arguments = arguments[2:]
    sys.warnoptions[:] = options
    warnings.resetwarnings()
    warnings._processoptions(options)  # type: ignore[attr-defined]
    return arguments[1:]


def run(arguments: list[str]) -> int:
    """Run a module as `python -m` does; the exit code."""
    sys.argv = arguments
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> None:
    """End this process in good order, but for the interpreter's own end, which would touch and so copy all that is shared."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi and mpi.Is_initialized() and not mpi.Is_finalized():
        mpi.Finalize()
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).exit(code)  # not os._exit: MPI takes leave of its launcher here


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # so that collections leave alone, and do not copy, what is shared
    leave(run(become(*Parent(sys.argv[1]).serve())))
