"""A Slurm of two nodes on this machine, started without systemd, in a folder of its own.

Both nodes are this machine under two names, n1 with the feature h100 and n2 with a100.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.waiting import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scancel", "scontrol")
NODES = {"n1": "h100", "n2": "a100"}
"""Node -> its feature."""
START_S = 30.0
"""Seconds that the start of the cluster may take."""

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
TaskProlog={root}/prolog.sh
SlurmdTimeout=20
KillWait=10
JobRequeue=1
MaxArraySize=2001
MaxJobCount=5000
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000,bf_interval=1
{nodes}
PartitionName=all Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""

PROLOG = """#!/bin/sh
mkdir -p {root}/locks-$SLURMD_NODENAME
echo export ENERGYBENCH_LOCKS={root}/locks-$SLURMD_NODENAME
"""
"""Gives each node a folder of locks of its own: they are one machine."""


def why_not() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"Slurm is not installed: there is no {missing[0]}"
    if os.getuid() != 0:
        return "a Slurm of these tests is started by root"
    return None


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Slurm:
    """The daemons of one cluster, and its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configuration = root / "slurm.conf"
        self._prefix: dict[str, tuple[str, ...]] = {}

    def start(self) -> None:
        """Start all daemons, and wait until both nodes are idle."""
        for folder in ("state", *(f"spool-{name}" for name in NODES)):
            (self.root / folder).mkdir()
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self.root.chmod(0o755)
        prolog = self.root / "prolog.sh"
        prolog.write_text(PROLOG.format(root=self.root))
        prolog.chmod(0o755)
        self._configure()
        self._run(
            "munged",
            f"--key-file={key}",
            f"--socket={self.root}/munge.socket",
            f"--pid-file={self.root}/munged.pid",
            f"--log-file={self.root}/munged.log",
            f"--seed-file={self.root}/munge.seed",
            "--force",
        )
        self.start_controller("-c")
        for name in NODES:
            self.start_node(name)
        self.until_idle()

    def start_controller(self, *options: str) -> None:
        """Start the controller; it goes on from its saved state, or with `-c` from nothing."""
        self._run("slurmctld", *options)

    def start_node(self, name: str, *before: str) -> None:
        """Start one node's daemon, by the command `before` if there is one."""
        self._run("slurmd", "-N", name, before=before)

    def until_idle(self) -> None:
        """Wait until both nodes are idle."""
        wanted = sorted(f"{name} idle" for name in NODES)
        until(lambda: sorted(self.ask("sinfo", "-hN", "-o", "%N %t").split("\n")) == wanted)

    def ask(self, *command: str) -> str:
        """The output of one of Slurm's commands; "" where it fails, as without a controller."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=START_S, env=self.environment
        )
        return done.stdout.strip()

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands find this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.configuration)}

    def pid(self, daemon: str) -> int:
        """The process of `slurmctld`, `slurmd-n1` or `munged`."""
        return int((self.root / f"{daemon}.pid").read_text())

    def kill(self, daemon: str) -> None:
        """Kill a daemon by SIGKILL, and wait until it has gone."""
        pid = self.pid(daemon)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not lives(pid))
        (self.root / f"{daemon}.pid").unlink(missing_ok=True)

    def free(self, job: str) -> None:
        """Let a job run that is put back into the queue: Slurm waits two minutes by itself."""
        until(lambda: "PENDING" in self._state(job))
        self.until_runs(job)

    def until_runs(self, job: str) -> None:
        """Wait until a job runs: release it where Slurm holds it, and let it begin at once."""

        def runs() -> bool:
            if "PENDING" in self._state(job):
                self.ask("scontrol", "release", job)
                self.ask("scontrol", "update", f"jobid={job}", "StartTime=now")
            return "RUNNING" in self._state(job)

        until(runs)

    def _state(self, job: str) -> str:
        return self.ask("squeue", f"--jobs={job}", "-h", "-o", "%T")

    def lose(self, name: str, process: int) -> None:
        """Let a node die: its daemon, the job that has `process`, and the job's own daemon."""
        status = Path(f"/proc/{process}/stat").read_text()
        parent = int(status.rpartition(")")[2].split()[1])
        self.kill(f"slurmd-{name}")
        for pid in (parent, process):
            os.kill(pid, signal.SIGKILL)
        self.ask("scontrol", "update", f"nodename={name}", "state=down", "reason=died")

    def clear(self) -> None:
        """Cancel every job, wait for their processes, and wait until the nodes are idle."""
        self.ask("scancel", "--user=root")
        until(lambda: self.ask("squeue", "-h") == "")
        self.until_idle()

    def stop(self) -> None:
        """End all daemons by their pid files."""
        with suppress(subprocess.TimeoutExpired, AssertionError):
            self.ask("scancel", "--user=root")
            until(lambda: self.ask("squeue", "-h") == "")
        for daemon in (*(f"slurmd-{name}" for name in NODES), "slurmctld", "munged"):
            with suppress(FileNotFoundError, ProcessLookupError, ValueError):
                pid = self.pid(daemon)
                os.kill(pid, signal.SIGTERM)
                until(lambda pid=pid: not lives(pid))  # type: ignore[misc]

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        ports = _free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 "
            f"RealMemory=4000 Features={feature} State=UNKNOWN"
            for (name, feature), port in zip(NODES.items(), ports[1:], strict=True)
        )
        text = CONFIGURATION.format(
            host=host, ports=ports, root=self.root, nodes=nodes, names=",".join(NODES)
        )
        self.configuration.write_text(text)

    def _run(self, name: str, *options: str, before: tuple[str, ...] = ()) -> None:
        """Start a daemon, which leaves its terminal by itself."""
        program = _program(name)
        assert program is not None
        log = self.root / f"{name}.out"
        with log.open("ab") as out:
            subprocess.run(
                [*before, program, *options],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=START_S,
                env=self.environment,
            )


def until(holds: Callable[[], bool], limit_s: float = START_S) -> None:
    """Wait until `holds()`, with a pause after each look at other programs."""
    wait_until(holds, limit_s, pause_s=0.1)


def lives(pid: int) -> bool:
    """Whether a process runs: one that nobody has waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def slurm(root: Path) -> Iterator[Slurm]:
    """A cluster with two idle nodes during the block."""
    cluster = Slurm(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
