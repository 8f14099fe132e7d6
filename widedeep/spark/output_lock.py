"""One writer at a time: the lock of an output directory, wherever that is."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from py4j.protocol import Py4JJavaError

from widedeep.common.console import log
from widedeep.common.errors import InputError
from widedeep.common.files import make_directory
from widedeep.common.lock import Lock
from widedeep.spark.filesystem import Files

BEAT_SECONDS = 10.0  # between two signs of life
STALE_SECONDS = 40.0  # without one, the owner of a lease is taken for dead


@contextmanager
def output_lock(files: Files, target: str, flag: str) -> Iterator[None]:
    """Keep other commands from writing to `target` in the block.

    On this machine's file system the kernel keeps the lock. Elsewhere it is a file that says who has it, and that is
    rewritten every `BEAT_SECONDS`. It is taken over if it does not change for `STALE_SECONDS`, by the clock of who
    waits: no two clocks are compared.

    Args:
        files: the file system.
        target: the directory.
        flag: the flag that names it.

    Raises:
        InputError: another command has it.

    """
    remedy = f"wait for it to end, or choose another --{flag}"
    if local := files.local(target):
        make_directory(local.parent)
        with Lock(local.with_name(f".{local.name}.lock"), f"{flag} {target}", remedy):
            yield
        return
    lease = _Lease(files, f"{target.rstrip('/')}.lock", f"{flag} {target}", remedy)
    try:
        yield
    finally:
        lease.close()


class _Lease:
    """A file that its owner keeps rewriting."""

    def __init__(self, files: Files, file: str, what: str, remedy: str):
        self._files, self._file = files, file
        self._me = {"owner": f"process {os.getpid()} on {socket.gethostname()}", "id": uuid4().hex}
        self._beat = 0
        if not self._create():
            owner = self._wait_for_a_sign_of_life()
            if owner or not (files.delete(file) or self._create()):
                raise InputError(f"{what} is in use by {owner or 'another command'}: {remedy}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)
        self._thread.start()

    def _create(self) -> bool:
        """Return whether there was no lease."""
        try:
            self._files.write_new_text(self._file, self._text())
        except FileExistsError:
            return False
        return True

    def _text(self) -> str:
        return json.dumps(self._me | {"beat": self._beat})

    def _wait_for_a_sign_of_life(self) -> str | None:
        """Return the owner of the lease as soon as the lease changes; None if it does not."""
        first, began = self._read(), time.monotonic()
        while time.monotonic() - began < STALE_SECONDS:
            time.sleep(STALE_SECONDS / 20)
            if not self._files.exists(self._file):
                return None
            now = self._read()
            if now is not None and now != first:
                return str(now.get("owner"))
        log.warning("%s: taken over, its owner has not been heard of for %.0f s", self._file, STALE_SECONDS)
        return None

    def _read(self) -> dict | None:
        """Return the content of the lease; None if it cannot be read, such as while it is rewritten."""
        try:
            return json.loads(self._files.read_text(self._file))
        except (Py4JJavaError, ValueError):
            return None

    def _keep_alive(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._beat += 1
            try:
                self._files.overwrite_text(self._file, self._text())
            except Py4JJavaError as error:  # the next beat may succeed
                log.warning("%s could not be written: %s", self._file, error.java_exception)

    def close(self) -> None:
        """Give the lease up."""
        self._stop.set()
        self._thread.join()
        found = self._read()
        if found and found.get("id") == self._me["id"]:
            self._files.delete(self._file)
