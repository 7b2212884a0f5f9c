"""The proof that pages list what the ledger holds, and whose fault it is where they do not."""

import pandas as pd
import pytest

from geo.errors import BalanceError, MismatchError
from geo.sheets.manifest import prove
from tests.geo.sheets.scene import frame

CODES = ["14072510020001-W-0001", "14072510020001-W-0002"]


def ledger(codes, areas=(10.0, 20.0)):
    return pd.DataFrame({"piece_code": codes, "area_m2": list(areas)})


def test_pages_that_list_every_piece_once_are_proven():
    prove([frame(CODES[:1]), frame(CODES, home=CODES[1:])], ledger(CODES))


@pytest.mark.parametrize("homes", [[CODES[:1]], [CODES, CODES[:1]], [[*CODES, "X"]]])
def test_a_piece_without_its_page_or_with_two_is_our_fault(homes):
    with pytest.raises(BalanceError, match="图幅与台账不符"):
        prove([frame(codes) for codes in homes], ledger(CODES))


@pytest.mark.parametrize(
    ("codes", "areas", "word"),
    [
        ([CODES[0], CODES[0]], (10.0, 20.0), f"编号 {CODES[0]} 出现 2 次"),
        ([CODES[0], None], (10.0, 20.0), "1 个图块没有编号"),
        (CODES, (10.0, None), f"图块 {CODES[1]} 没有面积"),
    ],
)
def test_a_piece_that_no_list_could_hold_is_the_workspaces_fault(codes, areas, word):
    with pytest.raises(MismatchError, match=word):
        prove([frame(CODES)], ledger(codes, areas))
