"""What the database said a moment ago, so that a page of fifty tiles asks it once who is asking."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

Found = TypeVar("Found")

_LASTS: Final = timedelta(seconds=1)
_MOST: Final = 10_000


class Recent(Generic[Found]):
    """What tokens and keys opened within the last second: a map asks for tens of tiles at once.

    Whatever this process changes is forgotten at once; a change by a command beside
    the service is heard a second later.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._held: dict[str, tuple[datetime, Found]] = {}
        self._lock = threading.Lock()
        self.generation = 0

    def get(self, digest: str) -> Found | None:
        """What was found for a digest a moment ago."""
        at, found = self._held.get(digest, (None, None))
        return found if at is not None and timedelta(0) <= self._clock() - at < _LASTS else None

    def keep(self, digest: str, found: Found, generation: int) -> None:
        """Keep what was found since ``generation`` was read, unless something changed meanwhile."""
        with self._lock:
            if generation != self.generation:
                return  # something changed while the database was asked
            if len(self._held) >= _MOST:
                self._held.clear()
            self._held[digest] = (self._clock(), found)

    def forget(self) -> None:
        """Something changed: ask anew."""
        with self._lock:
            self.generation += 1
            self._held.clear()
