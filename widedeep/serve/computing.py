"""Processes that answer by the model: what they compute holds up neither the server nor its other answers."""

import mmap
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.reduction import DupFd
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, TypeVar

import torch

from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.models.artifact import load_artifact
from widedeep.scoring.list_rules import ListRules
from widedeep.scoring.title_search import TitleIndex
from widedeep.serve.model_lists import ModelLists

R = TypeVar("R")

START_SECONDS = 600.0  # the first process that is ready waits no longer than that for the others


class OpenFile:
    """A file for processes that begin later: to them it is what it is now, whatever takes its place meanwhile."""

    def __init__(self, handle: int):
        """Take an open file's handle, which is closed with the last reference."""
        self.handle = handle
        weakref.finalize(self, os.close, handle)

    @property
    def path(self) -> Path:
        """A path to read it by in this process."""
        return Path(f"/dev/fd/{self.handle}")

    def __reduce__(self) -> tuple[Callable[..., "OpenFile"], tuple[Any]]:
        """Hand the handle on to a process that begins."""
        return _received, (DupFd(self.handle),)


def _received(sent: Any) -> OpenFile:
    return OpenFile(sent.detach())


class ModelProcesses:
    """Processes that all have the same model. They begin with `warm_up` or questions, and end with the last reference.

    One that begins later loads the same as the others, so a newer model or newer data do not matter to it. All methods
    may be called from several threads.
    """

    def __init__(self, model: Path, sha256: str, titles: TitleIndex, rules: ListRules, processes: int):
        """Take what the processes need.

        Args:
            model: the model's file.
            sha256: that the file says it has; another one is refused.
            titles: of all items.
            rules: know the franchises of items.
            processes: how many.

        """
        # Titles and rules are in a file: the server would wait until a process that begins has read what it is sent.
        with tempfile.TemporaryFile() as stream:
            pickle.dump((titles, rules), stream)
            stream.flush()
            titles_and_rules = OpenFile(os.dup(stream.fileno()))
        self._loads, self._processes = (OpenFile(os.open(model, os.O_RDONLY)), sha256, titles_and_rules), processes
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
        """Wait until all processes are ready; raise DamagedFileError if one cannot load the model."""
        try:
            for met in [self._pool.submit(_wait_for_all) for _ in range(self._processes)]:
                met.result()
        except (BrokenProcessPool, threading.BrokenBarrierError):
            raise DamagedFileError("a process could not load the model, or was killed") from None

    def close(self) -> None:
        """End the processes; questions that wait are not answered."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        # Forks of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, context, _load, (*self._loads, context.Barrier(self._processes)))


# --- in the processes ----------------------------------------------------------------------------

_lists: ModelLists
_all_ready: Barrier


def _load(model: OpenFile, sha256: str, titles_and_rules: OpenFile, all_ready: Barrier) -> None:
    global _lists, _all_ready
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which sends it to the server, too
    threading.Thread(target=_end_with_server, daemon=True).start()
    torch.set_num_threads(1)  # the cores are there for several processes
    artifact = load_artifact(model.path, verify=False)  # the server has
    if artifact.sha256 != sha256:
        raise InputError("another model has come between the server's look at it and this one")
    # Not read: several processes share the handle's place in the file.
    with mmap.mmap(titles_and_rules.handle, 0, access=mmap.ACCESS_READ) as content:
        titles, rules = pickle.loads(content)
    _lists, _all_ready = ModelLists(artifact, titles, rules), all_ready


def _end_with_server() -> None:
    """End when the server does, however it ended: it alone knows what is asked."""
    server = multiprocessing.parent_process()
    if server is not None:
        wait([server.sentinel])
        os._exit(1)


def _answer(question: Callable[..., R], *args: object) -> R:
    return question(_lists, *args)


def _wait_for_all() -> None:
    """Wait until each process does so: one that is ready would else take the calls of those that still begin."""
    _all_ready.wait(START_SECONDS)
