"""Why grids are not in their band, in the words of those who read it."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from geo.grids.kernel import Ints
from geo.grids.profiles import Profile
from geo.grids.split import Reason

UNFOUND: Final = "本次没有找到各网格都合格的划法，也没有证明不存在；可用 --budget best 再试"


def reason_text(reason: Reason, profile: Profile) -> str:
    """One line on what cannot be, with the households it is about."""
    lower, upper, weight = profile.lower, profile.upper, reason.weight
    if reason.kind == "heavy_node":
        return f"一处住房有 {weight} 户，超过上限 {upper} 户；给出楼栋、单元后可以再分"
    if reason.kind == "light_component":
        return f"土地相连的这一片只有 {weight} 户，不足下限 {lower} 户"
    if reason.kind in {"gap_component", "count"}:
        return f"{weight} 户无论分成几个，都不能每个在 {lower}–{upper} 户之间"
    if reason.kind == "tree":
        return f"这一片住房沿路相接、没有环路，{weight} 户切不出都在 {lower}–{upper} 户之间的网格"
    if reason.kind == "exhausted":
        return f"已逐一试过全部划法，{weight} 户不能都在 {lower}–{upper} 户之间"
    return UNFOUND


def part_reasons(
    labels: Ints, sizes: Ints, reasons: Sequence[Reason], nodes: Ints, profile: Profile
) -> list[str]:
    """For each part the reason why it is not in band; empty for one that is.

    Parameters
    ----------
    labels : n
        The part of each node.
    sizes : k
        Households of each part.
    reasons : sequence of Reason
        Their nodes count as those of ``labels`` do.
    nodes : n
        Number under which a node goes in ``reasons``.
    profile : Profile
    """
    texts = [""] * len(sizes)
    for part in np.flatnonzero((sizes < profile.lower) | (sizes > profile.upper)):
        own = nodes[labels == part]
        told = [reason for reason in reasons if np.isin(reason.nodes, own).any()]
        # What is about fewest nodes says most: a tower before the village it stands in.
        told.sort(key=lambda reason: (not reason.proved, len(reason.nodes), reason.kind))
        texts[part] = reason_text(told[0], profile) if told else UNFOUND
    return texts
