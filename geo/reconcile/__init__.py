"""The main job: what contract parcels leave of the survey's farmland, balanced, classed and coded."""

from geo.reconcile.run import Reconciliation, Settings, reconcile

__all__ = ["Reconciliation", "Settings", "reconcile"]
