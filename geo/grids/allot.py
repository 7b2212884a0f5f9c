"""How many parts each component of a graph is to have, and why that is not as was asked.

Counts inside which the band can be kept come first; then the number asked for
is dealt out so that mean sizes differ least (by the divisors of Sainte-Laguë),
the least number for the lower ends of the ranges, the greatest for the upper:
whatever the components choose, together they have a number that was asked for.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from geo.errors import GraphError
from geo.grids.kernel import Graph, Ints

Kind = Literal["heavy_node", "light_component", "gap_component", "count", "tree", "exhausted", "not_found"]
Count = int | tuple[int, int] | None
Range = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reason:
    """Why some nodes cannot lie in parts within the band."""

    kind: Kind
    nodes: Ints  # whom it is about: one node, or a component
    weight: int  # theirs together

    @property
    def proved(self) -> bool:
        """Whether it cannot be, rather than was not found."""
        return self.kind != "not_found"


def reason_of(kind: Kind, nodes: Ints, graph: Graph) -> Reason:
    """A reason and the weight it is about."""
    return Reason(kind=kind, nodes=nodes, weight=int(graph.weight[nodes].sum()))


def count_range(total: int, nodes: int, lower: int, upper: int) -> tuple[int, int, int]:
    """Least and greatest number of parts of a component, and the misses no number avoids."""
    ks = np.arange(1, nodes + 1)
    misses = np.maximum(np.maximum(ks * lower - total, total - ks * upper), 0)
    fit = ks[misses == misses.min()]
    return int(fit[0]), int(fit[-1]), int(misses.min())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """How many parts each component is to have, from and to."""

    given: list[Range]  # whatever they choose, together it is what was asked for
    may: list[Range]  # what each might have if the others were given what is best for it
    least: int  # all together
    most: int
    reasons: tuple[Reason, ...]

    @property
    def coupled(self) -> bool:
        """Whether what one component has decides what is left for another."""
        return self.given != self.may


def dealt(totals: list[int], free: list[Range], goal: int) -> list[int]:
    """A number of parts dealt out to components within their ranges, by weight."""
    given = [a for a, _ in free]
    while sum(given) < goal:
        open_ = [k for k in range(len(free)) if given[k] < free[k][1]]
        if not open_:
            break
        neediest = max(open_, key=lambda k: (totals[k] / (given[k] + 0.5), -k))
        given[neediest] += 1
    return given


def allotted(graph: Graph, groups: list[Ints], parts: Count, lower: int, upper: int) -> Counts:
    """Counts of a graph's components; ``parts`` as `geo.grids.best_split` takes it.

    Raises
    ------
    GraphError
        If ``parts`` is no number or range from 1.
    """
    totals = [int(graph.weight[nodes].sum()) for nodes in groups]
    free = [
        count_range(total, len(nodes), lower, upper)[:2] for total, nodes in zip(totals, groups, strict=True)
    ]
    low, high = sum(a for a, _ in free), sum(b for _, b in free)
    if parts is None:
        return Counts(given=free, may=free, least=low, most=high, reasons=())
    least, most = parts if isinstance(parts, tuple) else (int(parts), int(parts))
    if not 1 <= least <= most:
        raise GraphError(f"块数 {parts} 不对：须从 1 起，先小后大")
    reasons: tuple[Reason, ...] = ()
    if low > most or high < least:  # the band leaves no such number: as asked, or as near as there can be
        reasons = (reason_of("count", np.arange(len(graph.weight)), graph),)
        free = [(1, len(nodes)) for nodes in groups]
        nearest = most if low > most else least
        least = most = int(np.clip(nearest, len(groups), len(graph.weight)))
    else:
        least, most = max(least, low), min(most, high)
    given = list(zip(dealt(totals, free, least), dealt(totals, free, most), strict=True))
    low, high = sum(a for a, _ in free), sum(b for _, b in free)
    may = [(max(a, least - high + b), min(b, most - low + a)) for a, b in free]
    return Counts(given=given, may=may, least=least, most=most, reasons=reasons)


def dealt_anew(totals: list[int], counts: Counts, pinned: dict[int, int]) -> list[Range] | None:
    """Ranges when some components have their number; None if the others cannot make up for it."""
    free = [(pinned[k], pinned[k]) if k in pinned else ab for k, ab in enumerate(counts.may)]
    low, high = sum(a for a, _ in free), sum(b for _, b in free)
    if low > counts.most or high < counts.least:
        return None
    least, most = max(counts.least, low), min(counts.most, high)
    return list(zip(dealt(totals, free, least), dealt(totals, free, most), strict=True))
