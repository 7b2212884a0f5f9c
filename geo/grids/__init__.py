"""Grids: a village's homes in connected, balanced parts, as compact as can be proved."""

from geo.grids.profiles import PROFILES, Profile, profile_of
from geo.grids.run import Grids, adjust_grids, norm_costs, partition
from geo.grids.split import BUDGETS, Budget, Reason, Split, best_split, split_graph
from geo.grids.village import GridSettings

__all__ = [
    "BUDGETS",
    "PROFILES",
    "Budget",
    "GridSettings",
    "Grids",
    "Profile",
    "Reason",
    "Split",
    "adjust_grids",
    "best_split",
    "norm_costs",
    "partition",
    "profile_of",
    "split_graph",
]
