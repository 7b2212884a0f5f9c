"""Numbers as people write them in names: 3组, 三组, 第十二村民小组, ２单元."""

import re
import unicodedata
from typing import Final

_ONES: Final = {numeral: value for value, numeral in enumerate("一二三四五六七八九", start=1)} | {"两": 2}
_DIGITS: Final = re.compile(r"\d+")
_NUMERALS: Final = re.compile(r"[一二三四五六七八九两]?十[一二三四五六七八九]?|[一二三四五六七八九两]")


def number_in(text: str) -> int | None:
    """The first number in a name, in digits or in Chinese up to 99; None where there is none."""
    text = unicodedata.normalize("NFKC", text)
    if digits := _DIGITS.search(text):
        return int(digits[0])
    if not (found := _NUMERALS.search(text)):
        return None
    if "十" not in found[0]:
        return _ONES[found[0]]
    tens, _, ones = found[0].partition("十")
    return 10 * _ONES.get(tens, 1) + _ONES.get(ones, 0)
