"""Protocol-buffer bytes of a vector tile: varints of whole arrays at once, values, features, layers.

Source: Mapbox Vector Tile Specification 2.1, chapter 4; Protocol Buffers, Encoding.
"""

import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int64]

POINT: Final = 1
POLYGON: Final = 3

_SEVEN: Final = np.uint64(7)
_LOW: Final = np.uint64(127)
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_SHORT: Final = 128  # a varint of one byte is less


def zigzag(values: Whole) -> npt.NDArray[np.uint64]:
    """Signed numbers as unsigned ones that are small where they are near 0."""
    return ((values << 1) ^ (values >> 63)).astype(np.uint64)


def varints(values: npt.NDArray[np.uint64], counts: Whole) -> list[bytes]:
    """Varints of numbers that follow each other, ``counts`` of them to each of the byte strings that come out."""
    if not len(values):
        return [b""] * len(counts)
    longest = 1
    lengths = np.ones(len(values), dtype=np.int64)
    rest = values >> _SEVEN
    while rest.any():
        lengths += rest > 0
        rest >>= _SEVEN
        longest += 1
    ends = np.cumsum(lengths)
    starts = ends - lengths
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    for place in range(longest):
        here = np.flatnonzero(lengths > place)
        byte = (values[here] >> np.uint64(7 * place)) & _LOW
        more = lengths[here] > place + 1
        out[starts[here] + place] = byte.astype(np.uint8) | (more.astype(np.uint8) << np.uint8(7))
    whole = out.tobytes()
    cuts = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(counts)])].tolist()
    return [whole[first:last] for first, last in pairwise(cuts)]


def varint(value: int) -> bytes:
    """One varint."""
    if value < _SHORT:
        return bytes((value,))
    out = bytearray()
    while value >= _SHORT:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def layer(  # noqa: PLR0913 - the parts of one
    name: str,
    *,
    extent: int,
    ids: Whole,
    kinds: Sequence[int],
    commands: Sequence[bytes],
    columns: Mapping[str, Sequence[Any]],
) -> bytes:
    """One layer of a tile, as the tile's own field.

    Parameters
    ----------
    name : str
        Of the layer.
    extent : int
        Units to a tile's side.
    ids : ndarray of int, n
        Numbers of the features.
    kinds : sequence of int, n
        `POINT` or `POLYGON`.
    commands : sequence of bytes, n
        Geometry: packed commands.
    columns : mapping of name to sequence, n values each
        Attributes; None and NaN are left out. Each key and value is written once.
    """
    keys: dict[str, int] = {}
    values: dict[tuple[type, Any], int] = {}
    tags = _tags(columns, len(ids), keys, values)
    numbers = varints(ids.astype(np.uint64), np.ones(len(ids), dtype=np.int64))
    features = []
    for number, kind, tag, command in zip(numbers, kinds, tags, commands, strict=True):
        told = (
            *(b"\x08", number, b"\x12", varint(len(tag)), tag),
            *(b"\x18", bytes((kind,)), b"\x22", varint(len(command)), command),
        )
        message = b"".join(told)
        features += [b"\x12", varint(len(message)), message]
    body = b"".join(
        [
            b"\x78\x02",  # version 2
            _text(b"\x0a", name),
            *features,
            *(_text(b"\x1a", key) for key in keys),
            *(_field(b"\x22", _value(value)) for _, value in values),
            b"\x28" + varint(extent),
        ]
    )
    return _field(b"\x1a", body)


def _tags(
    columns: Mapping[str, Sequence[Any]],
    count: int,
    keys: dict[str, int],
    values: dict[tuple[type, Any], int],
) -> list[bytes]:
    """Each feature's pairs of key and value; fills both tables in the order they are first met."""
    told = np.full((count, len(columns), 2), -1, dtype=np.int64)
    for at, (name, column) in enumerate(columns.items()):
        strange = set(map(type, column)) - _PLAIN
        found = [
            -1 if value is None or value != value else values.setdefault((type(value), value), len(values))  # noqa: PLR0124 - NaN
            for value in (map(_own, column) if strange else column)
        ]
        if any(index >= 0 for index in found):
            told[:, at, 0] = keys.setdefault(name, len(keys))
            told[:, at, 1] = found
    there = told[:, :, 1] >= 0
    return varints(told[there].ravel().astype(np.uint64), 2 * there.sum(axis=1))


def _own(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    """A value as one of Python's own kinds."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else str(value)


def _value(value: str | float | bool) -> bytes:  # noqa: FBT001 - any value of a column
    if isinstance(value, str):
        return _text(b"\x0a", value)
    if isinstance(value, bool):
        return b"\x38\x01" if value else b"\x38\x00"
    if isinstance(value, int):
        return b"\x28" + varint(value) if value >= 0 else b"\x30" + varint(-2 * value - 1)
    return b"\x19" + struct.pack("<d", value)


def _text(tag: bytes, text: str) -> bytes:
    return _field(tag, text.encode())


def _field(tag: bytes, body: bytes) -> bytes:
    return tag + varint(len(body)) + body
