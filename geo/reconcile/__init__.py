"""The main job: what contract parcels leave of the survey's farmland, balanced, classed and coded."""
