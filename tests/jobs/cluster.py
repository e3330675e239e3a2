"""A Slurm of several nodes on this one machine: a controller and one daemon per node on loopback, with a munge of their own.

Nothing of the system's Slurm is touched: configuration, state, key and sockets lie in a folder of the test's.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "sinfo")
CONFIGURATION = """
ClusterName=parampi
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=pmi2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0
KillWait=5
MinJobAge=3600
OverTimeLimit=0
JobRequeue=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
PartitionName=all Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
NODE = (
    "NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 "
    "ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN\n"
)


def missing() -> str:
    """Why there can be no such cluster here; empty if there can."""
    error_estimate = [name for name in PROGRAMS if shutil.which(name) is None]
    if error_estimate:
        return f"no {', '.join(error_estimate)} (Debian: apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "the Slurm daemons of a faked cluster need root"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Two nodes; a context."""

    def __init__(self, folder: Path, nodes: int = 2):
        self.folder, self.nodes, self.daemons = folder, nodes, list[subprocess.Popen]()
        # MPICH 5.0 passes each rank's address to Slurm in pieces, up to 1024 characters and a header, where Slurm reads 1024 in
        # all. For UCX it passes 4096 bytes, whatever lies behind the address in memory among them: now and then a piece is too
        # long, and the start fails ("value not properly terminated in client request"). libfabric's fit into one short piece.
        transport = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"}
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), **transport}

    def __enter__(self) -> "Cluster":
        munge, host = self.folder / "munge", socket.gethostname().split(".")[0]
        munge.mkdir(mode=0o755)
        (self.folder / "state").mkdir()
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o600)
        self.daemon(
            "munged", "--force", "--foreground", f"--key-file={munge}/key", f"--socket={munge}/socket",
            f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        self.wait(lambda: (munge / "socket").exists(), "munge")
        port, *ports = free_ports(1 + self.nodes)
        nodes = "".join(NODE.format(number=k + 1, host=host, port=p) for k, p in enumerate(ports))
        text = nodes + CONFIGURATION.format(host=host, port=port, folder=self.folder, nodes=self.nodes)
        (self.folder / "slurm.conf").write_text(text)
        self.daemon("slurmctld", "-D", "-c", "-f", str(self.folder / "slurm.conf"))
        for k in range(self.nodes):
            (self.folder / f"spool.n{k + 1}").mkdir()
            self.daemon("slurmd", "-D", "-N", f"n{k + 1}", "-f", str(self.folder / "slurm.conf"))
        self.wait(lambda: self.tell("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(self.nodes), "Slurm")
        return self

    def __exit__(self, *_: object) -> None:
        self.tell("scancel", "-u", "root")
        time.sleep(1)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait(15)

    def daemon(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}-{len(self.daemons)}.out").open("w")
        with log:
            self.daemons.append(subprocess.Popen(command, stdout=log, stderr=log, env=self.environment))

    def wait(self, ready, what: str) -> None:
        until = time.monotonic() + 40
        while not ready():
            if time.monotonic() > until:
                logs = [f"{path.name}: {path.read_text()[-2000:]}" for path in self.folder.glob("*.out")]
                raise RuntimeError(f"{what} did not come up: " + "\n".join(logs))
            time.sleep(0.2)

    def tell(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=60)
        return done.stdout + done.stderr

    def state(self, job: str) -> dict[str, str]:
        words = self.tell("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)
