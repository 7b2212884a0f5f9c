"""What can be wrong with the world, one class a case.

Wrong use and unreadable input raise; a flaw in the data is a finding
(`geo.findings`), a row in a table, and the run goes on.
"""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


class GeoError(Exception):
    """Something the caller must mend: the message names what, where and what to do."""


class InputError(GeoError):
    """A file, layer or column that was asked for is not there or cannot be read."""


class MissingColumnError(InputError):
    """A layer lacks a column that the work cannot do without."""


class MissingDatumError(GeoError):
    """Geometry came without a coordinate reference system, or with one tied to no ellipsoid."""


class GeometryTypeError(GeoError):
    """A geometry is of a kind the work has no meaning for: a point where land is meant."""


class MismatchError(GeoError):
    """Two layers do not belong together: other county, other place, other system."""


class ShiftError(GeoError):
    """A village lies so far off the survey that someone must accept it first; ``shifts`` is the table."""

    def __init__(self, message: str, *, shifts: "pd.DataFrame") -> None:
        super().__init__(message)
        self.shifts = shifts

    def __reduce__(self) -> "tuple[functools.partial[ShiftError], tuple[object, ...]]":
        """So that it comes whole out of a worker process."""
        return functools.partial(ShiftError, shifts=self.shifts), self.args


class CodeError(GeoError):
    """A code is not built as its standard says."""


class CodesExhaustedError(CodeError):
    """A group, village or grid has used up the serials of its codes."""


class OutputError(GeoError):
    """The result cannot be written: read-only folder, full disk, a file in the way."""


class WorkspaceError(GeoError):
    """A file is not a workspace, or one of another schema version."""


class BalanceError(GeoError):
    """Areas that must add up do not: a fault of this program, never of the data."""


class MissingToolError(GeoError):
    """A program or font this machine lacks; the message says how to get it."""


class GraphError(GeoError):
    """A graph that is none: an edge to no node, a weight below zero or not whole, a band upside down."""


class StaleError(GeoError):
    """A row was changed by someone else since the caller read it.

    ``base`` is the version the caller had, ``theirs`` the row as it stands now,
    ``yours`` what the caller wanted to write.
    """

    def __init__(
        self, message: str, *, base: int, theirs: "Mapping[str, object]", yours: "Mapping[str, object]"
    ) -> None:
        super().__init__(message)
        self.base = base
        self.theirs = dict(theirs)
        self.yours = dict(yours)

    def __reduce__(self) -> "tuple[functools.partial[StaleError], tuple[object, ...]]":
        """So that it comes whole out of a worker process."""
        build = functools.partial(StaleError, base=self.base, theirs=self.theirs, yours=self.yours)
        return build, self.args


class UnknownRowError(GeoError):
    """A layer has no row of that key, or none that the caller may see."""


class ForbiddenError(GeoError):
    """The caller may not do or see this."""


class TransitionError(GeoError):
    """A state may not follow the one a row is in."""


class ConditionError(GeoError):
    """A filter that cannot mean anything: no such column, or a value of the wrong kind."""


class FactError(GeoError):
    """What is said of a piece cannot be so: no such field, or a value it cannot have."""
