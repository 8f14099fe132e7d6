"""What runs while the server does: the snapshot that answers, its replacement, and the threads that compute."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.serve import ServeConfig
from widedeep.models.artifact import MODEL_FILE
from widedeep.schema.manifest import HIDDEN_MANIFEST, MANIFEST
from widedeep.serve.meters import Meters
from widedeep.serve.snapshot import load_snapshot, with_newer_lists

R = TypeVar("R")
Mark = tuple[int, ...] | None  # tells whether a file is another one than before; None: it is not there

THREADS = 2  # that compute; more would only wait for each other


class BusyError(Exception):
    """Too many requests wait already."""


class Service:
    """Answers by the newest snapshot. A snapshot is replaced as a whole; a request keeps the one it began with."""

    def __init__(self, config: ServeConfig):
        """Load the first snapshot; raises what `load_snapshot` raises."""
        self.config, self.meters = config, Meters()
        self._marks = self._look()
        self.snapshot = load_snapshot(config)
        self.meters.loaded(self.snapshot)
        self._threads = ThreadPoolExecutor(THREADS, "answer")
        self._room = threading.BoundedSemaphore(config.most_waiting)
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to look for newer files."""
        self._watcher.start()

    def close(self) -> None:
        """Stop the threads."""
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, question: Callable[[], R]) -> R:
        """Answer a question in a thread, so that other requests need not wait for it.

        Raises:
            BusyError: too many wait already.
            TimeoutError: it took too long. The thread goes on to its end and keeps its place.

        """
        if not self._room.acquire(blocking=False):
            raise BusyError
        future = self._threads.submit(question)
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wait_for(asyncio.wrap_future(future), self.config.timeout_seconds)

    # --- newer files ---------------------------------------------------------------------------------

    def _look(self) -> tuple[Mark, Mark, Mark]:
        """Return the marks of the model, its data and the lists; each file is written last in its directory."""
        config = self.config
        files = (config.run_dir / MODEL_FILE, config.data / MANIFEST, config.recommendations / HIDDEN_MANIFEST)
        model, data, lists = (_mark(file) for file in files)
        return model, data, lists

    def _watch(self) -> None:
        while not self._stop.wait(self.config.reload_seconds):
            self.take_newer()

    def take_newer(self) -> None:
        """Replace the snapshot if there are newer files. If they cannot be used, it stays, with a warning."""
        marks = self._look()
        if marks == self._marks or None in marks:  # a file that is not there is being replaced
            return
        only_lists, self._marks = marks[:2] == self._marks[:2], marks
        try:
            self.snapshot = with_newer_lists(self.snapshot, self.config) if only_lists else load_snapshot(self.config)
        except (InputError, DamagedFileError, OSError) as error:
            self.meters.reloads.labels("failed").inc()
            log.warning("newer files cannot be used, so the older ones stay: %s", error)
            return
        self.meters.reloads.labels("done").inc()
        self.meters.loaded(self.snapshot)


def _mark(file: Path) -> Mark:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
