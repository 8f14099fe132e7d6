"""Processes that make lists: what happens when one dies, or the server does."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import psutil
import pytest

from tests.serving import Outputs, fit, make_outputs
from tests.training import ROOT
from widedeep.common.errors import DamagedFileError
from widedeep.config.rerank import RerankConfig
from widedeep.models.artifact import MODEL_FILE
from widedeep.scoring.list_rules import ListRules
from widedeep.serve.computing import ModelProcesses
from widedeep.serve.model_lists import ListQuery, ModelLists
from widedeep.serve.service import Service
from widedeep.serve.snapshot import load_snapshot

MINE = json.dumps({"ratings": [{"item_id": 5003, "rating": 9}]}).encode()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Outputs:
    return make_outputs(tmp_path_factory.mktemp("served"))


@pytest.fixture
def started() -> Callable[[], list[psutil.Process]]:
    """Lists the processes that make lists and were started since; others keep account of them."""
    before = {child.pid for child in psutil.Process().children()}

    def since() -> list[psutil.Process]:
        children = [child for child in psutil.Process().children() if child.pid not in before]
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    return since


def test_another_process_takes_the_place_of_one_that_died(outputs, started, caplog):
    service = Service(outputs.config)
    snapshot, query = service.snapshot, ListQuery(5, ~service.snapshot.hidden)

    def ask():
        return snapshot.processes.submit(ModelLists.for_ratings, MINE, "application/json", query, None).result()

    before = ask()
    (process,) = started()
    process.kill()
    process.wait()
    with contextlib.suppress(BrokenProcessPool):  # its death may have been noticed in time
        ask()
    assert [row.item_id for row in ask().rows] == [row.item_id for row in before.rows]
    assert "a process that answers by the model has died: others begin in its place" in caplog.text
    (other,) = started()
    assert other.pid != process.pid
    service.close()
    assert psutil.wait_procs([other], 30)[0]


def test_processes_that_begin_later_have_the_same_model(tmp_path, started):
    """Also when another model, of other data, is in the run's directory by then."""
    outputs = make_outputs(tmp_path)
    service = Service(outputs.config.model_copy(update={"processes": 2}))
    snapshot, query = service.snapshot, ListQuery(5, ~service.snapshot.hidden)

    def ask():
        return snapshot.processes.submit(ModelLists.for_ratings, MINE, "application/json", query, None).result()

    before = ask()
    fit(tmp_path, seed=1)
    shutil.rmtree(outputs.config.data)
    for process in started():
        process.kill()
        process.wait()
    with contextlib.suppress(BrokenProcessPool):
        ask()
    assert ask().rows == before.rows
    snapshot.processes.warm_up()  # of which one has not begun yet
    service.close()


@pytest.mark.skipif(not psutil.LINUX, reason="the system does not say what a process has in memory")
def test_all_processes_are_ready_before_questions_come(outputs, started):
    """Though one is ready long before another; both map the one file of the model into memory."""
    service, file = Service(outputs.config.model_copy(update={"processes": 2})), outputs.config.run_dir / MODEL_FILE

    def has_model(process: psutil.Process) -> bool:
        return str(file) in {part.path for part in process.memory_maps()}

    with ThreadPoolExecutor(1) as pool:
        ready = pool.submit(service.snapshot.processes.warm_up)
        while len(started()) < 2 and not ready.done():
            time.sleep(0.01)
        late, early = started()
        late.suspend()
        try:
            while not has_model(early) and not ready.done():
                time.sleep(0.05)
            time.sleep(3)
            assert not ready.done()
        finally:
            late.resume()
        ready.result()
    assert has_model(late)
    service.close()


def test_another_model_than_the_servers_is_refused(outputs):
    """A process never answers by another model than the server."""
    snapshot = load_snapshot(outputs.config)
    rules = ListRules(RerankConfig(), snapshot.hidden, np.zeros(0), None, None)
    processes = ModelProcesses(outputs.config.run_dir / MODEL_FILE, "0" * 64, snapshot.model.titles, rules, 1)
    with pytest.raises(DamagedFileError, match="could not load the model"):
        processes.warm_up()


def test_the_processes_of_a_snapshot_end_when_nobody_has_it_any_more(outputs, started):
    service = Service(outputs.config)
    service.snapshot.processes.warm_up()
    processes = started()
    assert processes
    service.snapshot = load_snapshot(service.config)
    assert not psutil.wait_procs(processes, 30)[1]
    service.close()


@pytest.mark.parametrize("kill", [True, False])
def test_the_processes_end_with_the_server(outputs, kill):
    config = outputs.config
    argv = ["--run-dir", config.run_dir, "--data", config.data, "--recommendations", config.recommendations]
    command = [sys.executable, "-m", "widedeep", "serve", *map(str, argv), "--port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    assert any("ready" in line for line in server.stderr)
    processes = psutil.Process(server.pid).children()
    assert processes
    (server.kill if kill else server.terminate)()
    assert (server.wait(30) == 0) != kill
    assert not psutil.wait_procs(processes, 30)[1]
