"""Taotu's spatial core: two official maps in, a balanced and coded list of unassigned farmland out."""

__version__ = "0.1.0"
