"""What a mod keeps for each request: made on first use, gone when the request is over.

A process serves many requests for as long as it is used, so what is kept under a `request_id` and
never dropped is a leak. The runtime tells every `PerRequest` when a request has ended, whether or
not the mod listens to `Finished`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class PerRequest(Generic[T]):
    """Values by request, each made by a factory from the request's id.

    counts = PerRequest(lambda request_id: [])
    counts[event.request_id].append(event.sampled_token)
    """

    def __init__(self, factory: Callable[[str], T]) -> None:
        self._factory = factory
        self._values: dict[str, T] = {}
        _all.add(self)

    def __getitem__(self, request_id: str) -> T:
        """The request's value, made now if there is none."""
        if request_id not in self._values:
            self._values[request_id] = self._factory(request_id)
        return self._values[request_id]

    def __setitem__(self, request_id: str, value: T) -> None:
        self._values[request_id] = value

    def get(self, request_id: str) -> T | None:
        """The request's value, None if there is none yet."""
        return self._values.get(request_id)

    def drop(self, request_id: str) -> None:
        """Forget a request, known or not."""
        self._values.pop(request_id, None)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)


_all: WeakSet[PerRequest[Any]] = WeakSet()


def forget(request_id: str) -> None:
    """A request is over: nothing is kept of it. Called by the runtime after `Finished`."""
    for kept in list(_all):
        kept.drop(request_id)
