"""A lock of the kernel: one process at a time may work in a directory."""

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from widedeep.common.console import log
from widedeep.common.errors import InputError


class Lock:
    """A lock that is held until `close`, or until the process ends, however it ends: it cannot be left behind."""

    def __init__(self, file: Path, what: str, remedy: str):
        """Take the lock, and write into it who has it.

        Args:
            file: of the lock; it is created, and stays.
            what: is locked, for messages.
            remedy: what to do if the lock is taken.

        Raises:
            InputError: another process has it.

        """
        self._handle = -1
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 200).decode(errors="replace") or "another process"
            os.close(handle)
            raise InputError(f"{what} is in use by {owner}: {remedy}") from None
        except OSError as error:
            log.warning("%s cannot be locked (%s): see to it that no second command uses it", what, error)
        self._handle = handle
        os.truncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def close(self) -> None:
        """Release the lock."""
        if self._handle >= 0:
            os.truncate(self._handle, 0)
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.close()  # a command may fail between taking the lock and the block that closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
