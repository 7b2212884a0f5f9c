"""How many households a grid shall have: a band, and the size aimed at inside it."""

import re
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType
from typing import Final

from geo.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A norm of grid size, in households.

    The target decides how many grids a village has, and lies above the middle of
    what the lower limit allows: houses and hamlets are not divisible, so grids
    whose mean were the lower limit itself could not all reach it.
    """

    name: str
    title: str
    lower: int
    target: int
    upper: int

    def __str__(self) -> str:
        """As it stands in a workspace: ``农村 30-50``."""
        return f"{self.title} {self.lower}-{self.upper}"

    def counts(self, households: int) -> tuple[int, int]:
        """Least and greatest number of grids whose mean size is in the band; least > greatest if none is.

        137 households at 20-50 may have 3 to 6 grids.
        """
        return ceil(households / self.upper), households // max(self.lower, 1)

    def wanted(self, households: int) -> int:
        """Number of grids that brings their mean size nearest to the target."""
        return max(1, round(households / self.target))


PROFILES: Final = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(name="rural", title="农村", lower=30, target=35, upper=50),
            Profile(name="rural20", title="农村", lower=20, target=30, upper=50),
            Profile(name="urban", title="城镇", lower=60, target=80, upper=120),
            Profile(name="micro_rural", title="农村微网格", lower=20, target=30, upper=40),
            Profile(name="micro_urban", title="城镇微网格", lower=5, target=10, upper=15),
        )
    }
)


def profile_of(text: str) -> Profile:
    """The profile of a name, or of numbers: ``rural``, ``20-50``, ``20/30/50`` (lower, target, upper).

    Raises
    ------
    InputError
        If it is neither, or the numbers do not rise.
    """
    if text in PROFILES:
        return PROFILES[text]
    given = re.fullmatch(r"(\d+)[-/](?:(\d+)[-/])?(\d+)", text.strip())
    if not given:
        raise InputError(
            f"没有规模标准“{text}”：可用 {'、'.join(PROFILES)}，或 下限-上限、下限/目标/上限，如 20/30/50"
        )
    lower, upper = int(given[1]), int(given[3])
    target = int(given[2]) if given[2] else max(lower, min(upper, round(lower + (upper - lower) / 4)))
    if not 1 <= lower <= target <= upper:
        raise InputError(f"规模标准“{text}”应为 1 ≤ 下限 ≤ 目标 ≤ 上限")
    return Profile(name=text.strip(), title="自定", lower=lower, target=target, upper=upper)
