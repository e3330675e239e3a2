"""Stands in for `python -m MODULE ...`: asks the warm parent (tests/warm.py) for a process, and is its ears and its exit code.

`python -I -S warm_client.py SOCKET MODULE ...` starts in milliseconds. The new process has this one's environment, folder and
open files, MPI's socket among them. Signals are passed on to it; when this process is killed it is killed too, and the other
way round.
"""

import array
import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


def main() -> None:
    path, *arguments = sys.argv[1:]
    files = [0, 1, 2, *(int(os.environ[name]) for name in ("PMI_FD",) if name in os.environ)]
    request = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd(), "files": files})
    with socket.socket(socket.AF_UNIX) as parent:
        parent.connect(path)
        for number in FORWARDED:
            signal.signal(number, lambda number, frame: parent.sendall(bytes([number])))
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
        data = request.encode()
        parent.sendmsg([len(data).to_bytes(4, "big")], [rights])
        parent.sendall(data)
        answer = parent.recv(8)
    code = int(answer) if answer else 1
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
