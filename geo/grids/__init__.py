"""Grids: a village's homes in connected, balanced parts, as compact as can be proved."""

from geo.grids.split import BUDGETS, Budget, Reason, Split, best_split, split_graph

__all__ = ["BUDGETS", "Budget", "Reason", "Split", "best_split", "split_graph"]
