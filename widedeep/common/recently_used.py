"""Values that are kept as long as they are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class RecentlyUsed(Generic[V]):
    """A dictionary of limited size: those values stay that were asked for last. Not for several threads at a time."""

    def __init__(self, most: int, size_of: Callable[[V], int] = lambda _: 1):
        """Make an empty one.

        Args:
            most: sum of the sizes; the last value stays even if it alone has more.
            size_of: size of a value; by default each counts one.

        """
        self._values: OrderedDict[Hashable, V] = OrderedDict()  # the last is the one that was asked for last
        self._most, self._size_of, self._size = most, size_of, 0

    def get(self, key: Hashable) -> V | None:
        """Return a value; None if there is none."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: V) -> V:
        """Keep a value, and return it."""
        if key in self._values:
            self._size -= self._size_of(self._values.pop(key))
        self._values[key] = value
        self._size += self._size_of(value)
        while self._size > self._most and len(self._values) > 1:
            self._size -= self._size_of(self._values.popitem(last=False)[1])
        return value
