"""What runs while the server does: the snapshot that answers, its replacement, and the threads that compute."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from widedeep.common.console import log
from widedeep.common.errors import DamagedFileError, InputError
from widedeep.config.serve import ServeConfig
from widedeep.models.artifact import MODEL_FILE
from widedeep.schema.manifest import HIDDEN_MANIFEST, MANIFEST
from widedeep.serve.meters import Meters
from widedeep.serve.model_lists import ListQuery, ModelLists, PersonalList
from widedeep.serve.snapshot import Snapshot, load_snapshot, with_newer_lists

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
        self._loaded = self._looked_at = self._look()
        self.snapshot = load_snapshot(config)
        self.meters.loaded(self.snapshot)
        self._threads = ThreadPoolExecutor(THREADS, "answer")
        self._rooms = {kind: threading.BoundedSemaphore(config.most_waiting) for kind in ("thread", "process")}
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="reload", daemon=True)

    def start(self) -> None:
        """Wait until the model can answer, and begin to look for newer files."""
        self.snapshot.processes.warm_up()
        self._watcher.start()

    def close(self) -> None:
        """Stop the threads and processes."""
        self._stop.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.snapshot.processes.close()

    async def list_of_user(self, snapshot: Snapshot, user_id: int | str, query: ListQuery) -> PersonalList:
        """Return the list of a user: the stored one if it has enough, else the model's; for others the most rated."""
        user = snapshot.model.find_user(user_id)
        if user is None:
            return snapshot.most_rated(query)
        rows = snapshot.lists.cached_rows_of(user_id)
        if rows is None:
            rows = await self.run(partial(snapshot.lists.rows_of, user_id))
        if stored := snapshot.stored(user, rows, query):
            return stored
        key = (user, query.key())
        if made := snapshot.made.get(key):
            return made
        seen = snapshot.rated.of(user)
        return snapshot.made.put(key, await self.ask_model(snapshot, ModelLists.for_user, user, seen, query))

    async def run(self, question: Callable[[], R]) -> R:
        """Answer a question in a thread, so that other requests need not wait for it; raises what `ask_model` does."""
        return await self._wait("thread", lambda: self._threads.submit(question))

    async def ask_model(self, snapshot: Snapshot, question: Callable[..., R], *args: object) -> R:
        """Ask a method of `ModelLists` in a process that has the model.

        Raises:
            BusyError: too many wait already.
            TimeoutError: it took too long. What computes goes on to its end and keeps its place.
            BrokenProcessPool: the process died.

        """
        return await self._wait("process", lambda: snapshot.processes.submit(question, *args))

    async def _wait(self, kind: str, begin: Callable[[], Future[R]]) -> R:
        room = self._rooms[kind]
        if not room.acquire(blocking=False):
            raise BusyError
        try:
            future = begin()
        except BaseException:
            room.release()
            raise
        future.add_done_callback(lambda _: room.release())
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
            try:
                self.take_newer()
            except Exception:  # whatever it is: the server would else never take anything again
                log.exception("newer files could not be taken, so the older ones stay")
                self.meters.reloads.labels("failed").inc()

    def take_newer(self) -> None:
        """Replace the snapshot if there are newer files. If they cannot be used, it stays, with a warning.

        They are tried once, and again when any file changes.
        """
        marks = self._look()
        if marks == self._looked_at or None in marks:  # a file that is not there is being replaced
            return
        self._looked_at, only_lists = marks, marks[:2] == self._loaded[:2]
        try:
            self.snapshot = with_newer_lists(self.snapshot, self.config) if only_lists else self._newer_model()
        except (InputError, DamagedFileError, OSError) as error:
            log.warning("newer files cannot be used, so the older ones stay: %s", error)
            self.meters.reloads.labels("failed").inc()
            return
        self._loaded = marks
        self.meters.reloads.labels("done").inc()
        self.meters.loaded(self.snapshot)

    def _newer_model(self) -> Snapshot:
        snapshot = load_snapshot(self.config)
        snapshot.processes.warm_up()
        return snapshot


def _mark(file: Path) -> Mark:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
