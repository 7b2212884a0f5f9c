"""Flaws that are planted on purpose, each named in a table."""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from geo.sample.county import County


def planted(made: "County", shifted_village: int) -> "County":
    """The county with its flaws, and ``truth_flaws`` that lists them."""
    return made
