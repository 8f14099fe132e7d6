"""Being asked to stop: SIGTERM from a scheduler, SIGUSR1 from a person."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from widedeep.parallel.world import World

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
AGREE_STEPS = 8  # how often, in steps, several ranks ask each other


class StopRequests:
    """Notes that a signal has come, in the block of a `with`, instead of letting the signal end the process."""

    def __init__(self, world: World):
        self._world, self._signal, self._before = world, 0, {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python gives signals to no other thread
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signal = number

    def received(self) -> str | None:
        """Return the name of a signal that any rank has received, or None; all ranks ask together."""
        number = next(filter(None, self._world.gather(self._signal)), None)
        return signal.Signals(number).name if number else None

    def received_after(self, step: int) -> str | None:
        """Return what `received` does, after steps at which the ranks ask each other; after the others None."""
        return self.received() if self._world.size == 1 or step % AGREE_STEPS == 0 else None
