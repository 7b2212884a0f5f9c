"""A Folium page taken apart: its elements, names that stay the same, and libraries from the service itself."""

from collections.abc import Iterator
from typing import Any, Final

from branca.element import Element, Figure

from geo.assets import STATIC, asset_url
from geo.errors import OutputError

# What Folium and its plugins call their libraries, and the file that stands in; None: our pages need none.
_STAND_INS: Final[dict[str, str | None]] = {
    "leaflet": "leaflet-1.9.4/leaflet.js",
    "leaflet_css": "leaflet-1.9.4/leaflet.css",
    "vectorGrid": "leaflet.vectorgrid-1.3.0/Leaflet.VectorGrid.bundled.min.js",
    "jquery": None,
    "bootstrap": None,
    "bootstrap_css": None,
    "glyphicons_css": None,
    "awesome_markers": None,
    "awesome_markers_font_css": None,
    "awesome_markers_css": None,
    "awesome_rotate_css": None,
}


class Verbatim(Element):
    """Text put into the page as it is: no template reads what came from data."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words

    def render(self, **_: Any) -> str:  # noqa: ANN401 - branca's signature
        """The text."""
        return self.words


def elements(figure: Figure) -> Iterator[Element]:
    """Every element of a page, outer ones first."""
    waiting: list[Element] = [figure, figure.header, figure.html, figure.script]
    while waiting:
        element = waiting.pop(0)
        yield element
        waiting.extend(element._children.values())  # noqa: SLF001 - branca has no other way to walk it


def number_elements(figure: Figure) -> None:
    """Give every element a name by its place, so that the same page is the same text."""
    for number, element in enumerate(elements(figure)):
        element._id = f"{number:x}"  # noqa: SLF001 - branca draws it at random and has no other way to set it


def localise(figure: Figure) -> None:
    """Make every element load its libraries from `STATIC`.

    Lists are set on each element itself: those of its class belong to every
    map of the process.

    Raises
    ------
    OutputError
        If an element asks for a library that is not kept here; it is named.
    """
    for element in elements(figure):
        for attribute in ("default_js", "default_css"):
            links = getattr(element, attribute, None)
            if links is not None:
                setattr(element, attribute, [link for name, url in links for link in _local(name, url)])


def _local(name: str, url: str) -> Iterator[tuple[str, str]]:
    if url.startswith(f"{STATIC}/"):
        yield name, url
        return
    if name not in _STAND_INS:
        raise OutputError(f"地图要用的程序库 {name} 不在本系统内，离线时打不开：请改用其他图层，或先收录该库")
    if (path := _STAND_INS[name]) is not None:
        yield name, asset_url(path)
