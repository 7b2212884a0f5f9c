"""Whether the compiled loops are at hand: the first run on a machine has to make them."""

from pathlib import Path

from geo.grids import wander


def is_compiled() -> bool:
    """Whether an earlier run left the loops compiled, so that this one begins at once."""
    loops = wander.wander
    stats = getattr(loops, "stats", None)  # of numba's dispatcher
    folder = Path(stats.cache_path) if stats is not None else None
    return folder is None or any(folder.glob(f"{wander.__name__.rpartition('.')[2]}.wander-*.nbi"))
