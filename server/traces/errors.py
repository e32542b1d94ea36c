"""What can go wrong with traces, and who is to act.

TraceError
├── SpoolInUseError     another process appends to this spool, or ships it
├── AwayError           Postgres, or the other server, cannot be reached now; try again
├── RefusedError        it was reached, and will never take this
├── UnknownTraceError   there is no trace of that id, for this caller
├── CursorError         a cursor that this server did not give out for this sort
└── MigrationError      the database cannot be brought to the version that this server knows

`reading.RecordError` is a ValueError apart: it names the field of a record.
"""

from __future__ import annotations


class TraceError(Exception):
    """The root."""


class SpoolInUseError(TraceError):
    """Another process has the spool."""


class AwayError(TraceError):
    """Where traces go cannot be reached at the moment. Nothing is lost by trying again."""


class RefusedError(TraceError):
    """What was sent will not be taken, now or later. Says nothing of what was sent beside it."""


class UnknownTraceError(TraceError):
    """No trace has this id, or none that the caller may see."""


class CursorError(TraceError):
    """A cursor that was not made for this list."""


class MigrationError(TraceError):
    """The database's schema is not one that this server can work with."""
