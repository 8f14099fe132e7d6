"""Two machines with a network between them that fails: two network namespaces, each with a launcher."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.builders import write_prepared
from tests.faults.test_training_killed import place_of
from tests.training import ROOT, TORCHRUN, command
from widedeep.common.errors import InputError
from widedeep.training.checkpoints import newest_first, read_checkpoint_manifest

ADDRESSES = ("10.77.0.1", "10.77.0.2")
TIMEOUT = 10  # seconds after which a rank that does not answer ends the job
PORT = 29_600
WIDEDEEP = TORCHRUN.with_name("widedeep")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("ip") is None or os.geteuid() != 0, reason="network namespaces need root"
)


class Machine:
    """A network namespace, and what runs in it."""

    def __init__(self, name: str, device: str, address: str):
        self.name, self.device, self.address = name, device, address

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", "-n", self.name, *words], check=True)

    def cut_off(self) -> None:
        self.ip("link", "set", self.device, "down")

    def agent(self, log: Path, argv: list[str], *options: str) -> subprocess.Popen:
        """Start the launcher of a machine, which meets the others at the first one."""
        meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:{PORT}", "--rdzv-id", "one"]
        host = int(self.address == ADDRESSES[0])
        timing = "last_call_timeout=2,keep_alive_interval=1,keep_alive_max_attempt=3,read_timeout=10"
        meeting += [f"--rdzv-conf=is_host={host},{timing}", "--local-addr", self.address]
        launch = [str(WIDEDEEP), "train", *meeting, "--nproc-per-node", "1", *options, "--", *argv[1:]]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": self.device, "OMP_NUM_THREADS": "1"}
        with log.open("w") as stderr:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *launch],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )


def processes_on(machine: Machine) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", machine.name], capture_output=True, text=True, check=True)
    return [int(pid) for pid in found.stdout.split()]


def ranks_on(machine: Machine) -> list[int]:
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in processes_on(machine)}
    return [pid for pid, file in commands.items() if file.exists() and b"widedeep/train.py" in file.read_bytes()]


def kill_all(machine: Machine) -> None:
    """Kill every process of a machine at once, as when its power fails."""
    for pid in processes_on(machine):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines and a cable between them."""
    tag = f"{os.getpid() % 10_000}"
    both = (Machine(f"wd-a{tag}", f"wda{tag}", ADDRESSES[0]), Machine(f"wd-b{tag}", f"wdb{tag}", ADDRESSES[1]))
    try:
        for machine in both:
            subprocess.run(["ip", "netns", "add", machine.name], check=True)
        ends = [["name", machine.device, "netns", machine.name] for machine in both]
        subprocess.run(["ip", "link", "add", *ends[0], "type", "veth", "peer", *ends[1]], check=True)
        for machine in both:
            machine.ip("addr", "add", f"{machine.address}/24", "dev", machine.device)
            machine.ip("link", "set", "lo", "up")
            machine.ip("link", "set", machine.device, "up")
        yield both
    finally:
        for machine in both:
            kill_all(machine)
            subprocess.run(["ip", "netns", "delete", machine.name], check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("network") / "prepared"
    write_prepared(path, ratings=8001)
    return path


def endless(data: Path, run: Path, **flags) -> list[str]:
    return command(data, run, **{"timeout_seconds": TIMEOUT, "checkpoint_seconds": 1, "epochs": 100_000, **flags})


def wait_until(said: Path, agent: subprocess.Popen, there: Callable[[], bool]) -> None:
    """Wait until something is there that a running agent brings about."""
    deadline = time.monotonic() + 180
    while not there():
        assert agent.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("fault", ["cut off", "killed"])
def test_a_machine_that_is_lost_ends_the_job_within_the_timeout(machines, data, tmp_path, fault):
    run, logs = tmp_path / "run", [tmp_path / "0.log", tmp_path / "1.log"]
    started = zip(machines, logs, strict=True)
    agents = [machine.agent(log, endless(data, run), "--nnodes", "2") for machine, log in started]
    wait_until(logs[0], agents[0], lambda: place_of(run) >= (2, 0))
    began = time.monotonic()
    if fault == "cut off":
        machines[1].cut_off()
    else:
        kill_all(machines[1])
    assert agents[0].wait(timeout=120) == 1, logs[0].read_text()
    assert time.monotonic() - began < TIMEOUT + 50  # torch's agent needs the rest to end its ranks
    assert newest_first(run / "checkpoints")
    # The launcher there goes on trying to reach the other one, until the system gives a connection up.
    assert not ranks_on(machines[1])


def test_an_elastic_job_goes_on_with_what_is_left_and_takes_the_other_back(machines, data, tmp_path):
    run, logs = tmp_path / "run", [tmp_path / f"{number}.log" for number in range(3)]
    argv, options = endless(data, run), ("--nnodes", "1:2", "--max-restarts", "5")
    agents = [machine.agent(log, argv, *options) for machine, log in zip(machines, logs[:2], strict=True)]
    wait_until(logs[0], agents[0], lambda: place_of(run) >= (2, 0) and newest_ranks(run) == 2)
    kill_all(machines[1])
    agents[1].wait(timeout=60)
    wait_until(logs[0], agents[0], lambda: newest_ranks(run) == 1)
    back = machines[1].agent(logs[2], argv, *options)
    wait_until(logs[0], agents[0], lambda: newest_ranks(run) == 2)
    assert back.poll() is None, logs[2].read_text()


def newest_ranks(run: Path) -> int:
    """Return the number of ranks that trained when the newest checkpoint was written; 0 if it is being replaced."""
    try:
        return read_checkpoint_manifest(newest_first(run / "checkpoints")[0]).ranks
    except (InputError, IndexError):
        return 0
