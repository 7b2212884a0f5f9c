"""Parcels of one file among those of another: they lie as their own file does, not as the village they are in.

A file has one datum. Where too few of its parcels lie in a village to say how
far off they are, the rest of the file says it for them.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd

from geo.movement import GivenShift, Movement
from geo.reconcile.agreement import agreement
from geo.reconcile.batch import Batch, Geometries, Rows, file_of, without
from geo.reconcile.match import Match
from geo.reconcile.shift_row import Described, motion, parted

Found = list[tuple[Batch, Match | None]]

# Columns of shifts that tell of parcels' own borders.
_MEASURED: Final = (
    "error_m", "rms_m", "median_m", "inset_m", "matched_share", "matched_count", "second_peak", "condition",
)  # fmt: skip
_SAME_SIGMAS: Final = 4.0  # errors of few parcels are understated


def with_their_file(
    found: Found,
    described: list[Described],
    files: Geometries,
    shapes: Geometries,
) -> list[Described]:
    """Strays of a file go where the rest of it goes, if what they say themselves is no other place.

    A file has one datum; too few of its parcels in a neighbouring village could not tell it alone.
    ``files`` and ``shapes`` are those of the parcels.
    """
    main_file = _main_files(found, files)
    sure: dict[str, tuple[Batch, Match]] = {}
    for file, (batch, result), (row, movement, _) in zip(main_file, found, described, strict=True):
        trusted = movement is not None and result is not None and row["confidence"] in {"high", "medium"}
        if file and trusted and (file not in sure or len(batch.rows) > len(sure[file][0].rows)):
            sure[file] = batch, result  # type: ignore[assignment] # trusted has a result
    out: list[Described] = []
    for file, (batch, result), (row, movement, rule) in zip(main_file, found, described, strict=True):
        rough = row["confidence"] == "low" and rule in {"shift_doubtful", "shift_large"}
        if rough and result is not None and file in sure:
            home, theirs = sure[file]
            apart = parted(result.movement, theirs.movement, shapes[batch.rows])
            if apart <= _SAME_SIGMAS * float(np.hypot(result.error_m, theirs.error_m)):
                reason = f"自身只能粗测，与同一文件 {file} 在村 {home.village} 的偏移一致，按其改正"
                moved = row | motion(theirs.movement) | {"accepted": True, "reason": reason}
                out.append((moved, theirs.movement, "shift_large"))
                continue
        out.append((row, movement, rule))
    return out


def _main_files(found: Found, files: Geometries) -> list[str]:
    """File that most parcels of each batch came in; of several the first by name."""
    if len(names := set(files)) == 1:
        return [str(*names)] * len(found)
    counts = [pd.Series(files[batch.rows]).value_counts() for batch, _ in found]
    return [str(min(count.index[count == count.max()])) for count in counts]


def strays_apart(  # noqa: PLR0913, PLR0917 - what was found and decided, and the parcels
    found: Found,
    described: list[Described],
    files: Geometries,
    shapes: Geometries,
    near: Callable[[Rows], Geometries],
    part_m: float,
    decisions: list[GivenShift | None],
    open_: set[str],
) -> tuple[Found, list[Described]]:
    """A few parcels of another file among a village's go with their own file where they lie better so.

    They are too few to be matched by themselves: only these two places are asked. ``near`` gives the
    patches about rows of parcels; a file whose villages lie ``part_m`` apart says nothing of a third.
    ``decisions`` are those on each batch, ``open_`` the keys that were listed undecided.
    """
    main_file = _main_files(found, files)
    lies = [_lies(result, one) for (_, result), one in zip(found, described, strict=True)]
    homes: dict[str, list[int]] = {}
    for at, (_, movement, rule) in enumerate(described):
        if found[at][1] is not None and (movement is not None or rule in {"", "shift_far"}):
            homes.setdefault(main_file[at], []).append(at)
    homes = {file: sorted(at, key=lambda home: -len(found[home][0].rows)) for file, at in homes.items()}
    rest, out = list(found), list(described)
    apart: dict[tuple[str, str], tuple[Described, Rows]] = {}
    for at, (batch, result) in enumerate(found):
        for file in sorted((set(files[batch.rows]) & set(homes)) - {main_file[at], ""}):
            own = file_of(batch, str(file), batch.rows[files[batch.rows] == file])
            decided = decisions[at] is not None and own.key not in open_
            first, *others = homes[file]
            off = [parted(lies[first], lies[other], shapes[own.rows]) for other in (*others, at)]
            # Where villages of that file lie apart themselves, it says nothing of this one.
            if decided or off.pop() <= part_m or max(off, default=0.0) > part_m:
                continue
            here, onto = shapes[own.rows], near(own.rows)
            if agreement(here, onto, lies[first]) <= agreement(here, onto, lies[at]):
                continue
            rest[at] = without(rest[at][0], own.rows), result
            out[at] = (out[at][0] | {"parcel_count": len(rest[at][0].rows)}, *out[at][1:])
            _, rows = apart.get((batch.village, file), (None, own.rows[:0]))
            own = own._replace(rows=np.union1d(rows, own.rows))
            named = described[at][0]["village_name"]
            apart[batch.village, file] = (_as_its_file(own, named, described[first], lies[first]), own.rows)
    for (village, file), (theirs, rows) in apart.items():
        rest.append((Batch(village, file, rows, rows[:0]), None))
        out.append(theirs)
    return rest, out


def _lies(result: Match | None, described: Described) -> Movement:
    """Movement that lays a batch where it is taken to belong, applied or waiting to be accepted."""
    _, movement, rule = described
    if rule == "shift_far" and result is not None:
        return result.movement
    return movement or Movement()


def _as_its_file(own: Batch, name: object, described: Described, movement: Movement) -> Described:
    """Strays of a file described as the batch they go with."""
    theirs, applied, rule = described
    lies = f"只有 {len(own.rows)} 个，与本村其余不在一个文件；同一文件的村 {theirs['village_code']} "
    row = {
        **theirs,
        **dict.fromkeys(_MEASURED),
        **motion(movement),
        "shift_key": own.key,
        "village_code": own.village,
        "village_name": name,
        "batch": own.name,
        "parcel_count": len(own.rows),
        "confidence": "none",
    }
    if rule == "shift_far":
        return row | {"reason": f"{lies}偏移待确认，随其决定"}, None, "shift_unknown"
    if applied is None:
        return row | {"reason": f"{lies}与三调相合，不随本村移动"}, None, "shift_unknown"
    return row | {"reason": f"{lies}已改正，按其改正"}, applied, rule
