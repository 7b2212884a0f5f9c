"""Loess-hill counties with known truth, in memory and as deliveries in the standards' formats."""

from geo.sample.county import County, SampleSettings, county
from geo.sample.deliver import deliver

__all__ = ["County", "SampleSettings", "county", "deliver"]
