"""In which order a list by time looks at the days: a day first, then as many as it needs.

Traces lie in a partition for each day. Asked for all days at once, Postgres looks for the first
match of every day before it knows the first of all; where matches are rare it then reads every
day, for a page that the newest of them fill. Asked for a few days, in which there are about as many
matches as the page has lines, it takes the index that leads to them.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta

Bound = datetime | None
Window = tuple[Bound, Bound]
"""From this time on, before this time; None is without end."""

LARGEST = 128
"""Days of a window. Where a larger one would be next, it is all that is left."""

DAY = timedelta(days=1)

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
"""There are no times outside of these."""


def moved(moment: datetime, by: timedelta) -> datetime:
    """A time in UTC, later by so much; at most to the first or the last there is."""
    try:
        return moment + by
    except OverflowError:
        return LAST if by > timedelta() else FIRST


class Windows:
    """The windows of one page, each beyond the last. Together they leave nothing out.

    start: where traces begin to lie close, in UTC; the first window is its day. since, until: what
    the list is bounded by. back: from the newest to the oldest.
    """

    def __init__(self, start: datetime, since: Bound, until: Bound, *, back: bool) -> None:
        self._back = back
        self._begin, self._end = (until, since) if back else (since, until)
        self._edge = moved(_midnight(start), DAY if back else timedelta())
        self._searched = self._days = self._found = 0
        self._over = False

    def next(self, found: int, wanted: int) -> Window | None:
        """The next one, None if nothing is left. found: how much there was in all so far."""
        if self._over:
            return None
        near: Bound = self._edge if self._days else self._begin
        self._days = self._enough(found, wanted)
        self._searched += self._days
        self._edge = moved(self._edge, (-self._days if self._back else self._days) * DAY)
        self._over = self._days > LARGEST or self._reached_end()
        far = self._end if self._over else self._edge
        return (far, near) if self._back else (near, far)

    def _reached_end(self) -> bool:
        if self._end is None:
            return self._edge in (FIRST, LAST)
        return self._edge <= self._end if self._back else self._edge >= self._end

    def _enough(self, found: int, wanted: int) -> int:
        """Days in which to expect what is still wanted; at most twice as many as the last time."""
        fresh, self._found = found - self._found, found
        if not self._days:
            return 1
        if not fresh:
            return 2 * self._days
        return max(1, min(2 * self._days, math.ceil((wanted - found) * self._searched / found)))


def _midnight(moment: datetime) -> datetime:
    """When its day began, in UTC, as partitions do."""
    return datetime.combine(moment.date(), time(), UTC)
