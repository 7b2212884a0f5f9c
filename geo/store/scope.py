"""What a caller may see of the county: which villages, and whether names of persons.

A scope is part of every question to the store and becomes part of its SQL, so
that no route, tile or download can forget it.
"""

from dataclasses import dataclass
from typing import Final

from geo import schema
from geo.errors import ForbiddenError


@dataclass(frozen=True, slots=True)
class Scope:
    """Villages a caller may see, None for the whole county, and whether personal columns are theirs to read."""

    villages: frozenset[str] | None
    personal: bool = False

    @property
    def key(self) -> str:
        """A short text that two scopes share only if they see the same: part of every cache key."""
        seen = "*" if self.villages is None else ",".join(sorted(self.villages))
        return f"{seen}|{'p' if self.personal else ''}"


EVERYTHING: Final = Scope(villages=None, personal=True)


def check_layer(layer: str, scope: Scope) -> None:
    """Refuse a layer whose rows do not tell their village to a caller of some villages.

    Raises
    ------
    ForbiddenError
        If the layer is not in `geo.schema.SCOPES` and the scope is not the county.
    """
    if scope.villages is not None and layer not in schema.SCOPES:
        title = schema.LAYER_TITLES.get(layer, layer)
        raise ForbiddenError(f"{title}属于全县，您的权限只到所辖村：请由县级人员查看")


def visible_columns(layer: str, scope: Scope) -> list[str]:
    """Columns of a layer that a scope may read, in their order."""
    hidden = frozenset() if scope.personal else schema.personal_columns(layer)
    return [name for name in schema.column_names(layer) if name not in hidden]
