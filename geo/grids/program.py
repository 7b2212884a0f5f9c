"""Integer programs, written a rule at a time and solved by HiGHS.

Effort is a number of branches, never seconds: the same answer on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.sparse

from geo.grids.kernel import Floats, Ints

_NEARLY = 1e-6  # of one unit of cost: what a solver leaves open


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a solver found and what it proved."""

    values: Floats | None  # None if nothing was found
    cost: float  # of what was found; infinite if nothing was
    bound: float  # proved: no answer costs less; infinite if there is none


@dataclass(slots=True, eq=False)
class Program:
    """Variables and rules, collected before they are solved together."""

    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    cost: list[Floats] = field(default_factory=list)
    whole: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    columns: list[Ints] = field(default_factory=list)
    factors: list[Floats] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    size: int = 0

    def variables(
        self,
        count: int,
        *,
        lower: npt.ArrayLike = 0.0,
        upper: npt.ArrayLike = 1.0,
        cost: npt.ArrayLike = 0.0,
        whole: bool = True,
    ) -> Ints:
        """New variables, by their places."""
        places = np.arange(self.size, self.size + count, dtype=np.int64)
        self.size += count
        for kept, value in ((self.lower, lower), (self.upper, upper), (self.cost, cost)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,)))
        self.whole.append(np.full(count, whole))
        return places

    def rule(
        self,
        columns: Sequence[int] | Ints,
        factors: npt.ArrayLike = 1.0,
        *,
        least: float = -np.inf,
        most: float = np.inf,
    ) -> None:
        """Least <= sum of factors times variables <= most."""
        places = np.asarray(columns, dtype=np.int64)
        self.columns.append(places)
        self.factors.append(np.broadcast_to(np.asarray(factors, dtype=np.float64), places.shape))
        self.lengths.append(len(places))
        self.least.append(least)
        self.most.append(most)

    def solved(self, *, branches: int, cost: Floats | None = None, gap: float = 0.0) -> Answer:
        """The cheapest values found within a number of branches.

        Parameters
        ----------
        branches : greatest number of them
        cost : instead of the cost variables came with
        gap : share of the cost that need not be sought
        """
        price = np.concatenate(self.cost) if cost is None else cost
        lower, upper = np.concatenate(self.lower), np.concatenate(self.upper)
        begin = np.cumsum([0, *self.lengths])
        rules = [] if not self.lengths else [
            scipy.optimize.LinearConstraint(
                scipy.sparse.csr_array(
                    (np.concatenate(self.factors), np.concatenate(self.columns), begin),
                    shape=(len(self.lengths), self.size),
                ),
                self.least,
                self.most,
            )
        ]  # fmt: skip
        told = scipy.optimize.milp(
            price,
            integrality=np.concatenate(self.whole).astype(np.int64),
            bounds=scipy.optimize.Bounds(lower, upper),
            constraints=rules,
            # what is undone after presolving may be off by a little, and HiGHS then prints to the screen
            options={"mip_rel_gap": gap, "node_limit": branches, "presolve": False},
        )
        bound = told.mip_dual_bound
        if told.x is None:
            none = told.status == 2  # noqa: PLR2004, scipy's word for infeasible
            return Answer(
                values=None, cost=np.inf, bound=np.inf if none else -np.inf if bound is None else float(bound)
            )
        return Answer(
            values=np.asarray(told.x, dtype=np.float64),
            cost=float(told.fun),
            bound=-np.inf if bound is None else float(bound),
        )


def whole_bound(bound: float) -> int:
    """The least whole number a proved bound leaves."""
    return max(0, int(np.ceil(bound - _NEARLY * max(1.0, abs(bound))))) if np.isfinite(bound) else 0
