"""Processes that answer by the model: what they compute holds up neither the server nor its other answers."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

import torch

from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.loaded_model import LoadedModel
from widedeep.serve.model_lists import ModelLists

R = TypeVar("R")


class ModelProcesses:
    """Processes that all have the same model. They begin with the first question, and end with the last reference.

    All methods may be called from several threads.
    """

    def __init__(self, run_dir: Path, data: Path, sha256: str, rules: ListRules, processes: int):
        """Take what the processes need.

        Args:
            run_dir: the run.
            data: the prepared directory that it was trained on.
            sha256: of the model's file; another one is refused.
            rules: know the franchises of items.
            processes: how many.

        """
        self._loads, self._processes = (run_dir, data, sha256, rules), processes
        self._pool, self._lock = self._new_pool(), threading.Lock()

    def submit(self, question: Callable[..., R], *args: object) -> Future[R]:
        """Ask a method of `ModelLists`. The future raises BrokenProcessPool if a process dies; others then begin."""
        with self._lock:
            try:
                return self._pool.submit(_answer, question, *args)
            except BrokenProcessPool:
                log.warning("a process that answers by the model has died: others begin in its place")
                self._pool = self._new_pool()
                return self._pool.submit(_answer, question, *args)

    def warm_up(self) -> None:
        """Wait until a process is ready; raise DamagedFileError if it cannot load the model."""
        try:
            self.submit(ModelLists.ready).result()
        except BrokenProcessPool:
            raise DamagedFileError("a process could not load the model, or was killed") from None

    def close(self) -> None:
        """End the processes; questions that wait are not answered."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        # Forks of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, context, _load, self._loads)


# --- in the processes ----------------------------------------------------------------------------

_lists: ModelLists


def _load(run_dir: Path, data: Path, sha256: str, rules: ListRules) -> None:
    global _lists
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which sends it to the server, too
    threading.Thread(target=_end_with_server, daemon=True).start()
    torch.set_num_threads(1)  # the cores are there for several processes
    model = LoadedModel(run_dir, data)
    if model.artifact.sha256 != sha256:
        raise InputError(f"{run_dir} has another model by now")
    _lists = ModelLists(model, rules)


def _end_with_server() -> None:
    """End when the server does, however it ended: it alone knows what is asked."""
    server = multiprocessing.parent_process()
    if server is not None:
        wait([server.sentinel])
        os._exit(1)


def _answer(question: Callable[..., R], *args: object) -> R:
    return question(_lists, *args)
