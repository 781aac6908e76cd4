"""Dark: a figure's colours turned for a dark page; its shapes and numbers stay as they are.

Figures are drawn for white paper. Here every colour of a drawn figure gets its partner: greys
change places, the palette and the scale from −1 to 1 have partners of their own, and any other
colour is made lighter until it can be seen. So no figure module needs to know of the dark.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from taskspace_utils import figures

PAPER, INK = "#121212", "#f2f2f2"  # the page's own background in the dark, and what is black on it
COLOURS = ["#3B8BD6", "#E5671E", "#1DB386", "#D88BB7", "#F5B83D", "#7CC4F2", INK]
TWINS = {to_hex(a): b for a, b in zip(figures.COLOURS, COLOURS, strict=True)}
# nothing is dark here, as it is white on white paper; as light at −v as at v
DIVERGING = LinearSegmentedColormap.from_list(
    "dark-diverging", ["#67B7FF", "#2C77B8", "#1C1C1C", "#B8503F", "#FF8D78"]
).with_extremes(bad="#4d4d4d")
SWAP = {"black": "white", "white": "black"}
CONTRAST = 3.0  # WCAG 2.2, 1.4.11: what graphics need to be seen


def luminance(colour) -> float:
    """Relative luminance of a colour, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    rgb = np.array(to_rgba(colour)[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other) -> float:
    """Contrast of two colours, from 1 (the same) to 21 (black on white), as WCAG 2.2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def turned(colour) -> tuple[float, float, float, float]:
    """A colour's partner on dark paper, as transparent as it was."""
    *rgb, alpha = to_rgba(colour)
    if twin := TWINS.get(to_hex(rgb)):
        return to_rgba(twin, alpha)
    if max(rgb) - min(rgb) < 0.05:
        black, white = (np.array(to_rgba(end)[:3]) for end in (INK, PAPER))
        return (*(black + (white - black) * np.mean(rgb)), alpha)
    found = np.array(rgb)
    while contrast(found, PAPER) < CONTRAST:
        found = found + 0.1 * (1 - found)
    return (*found, alpha)


def darken(figure: Figure) -> Figure:
    """Turn all colours of a figure, in place; the same figure."""
    for put, _, new in _changes(figure):
        put(new)
    return figure


@contextmanager
def darkened(figure: Figure) -> Iterator[Figure]:
    """A figure with all colours turned, which gets its own back at the end."""
    changes = _changes(figure)
    for put, _, new in changes:
        put(new)
    try:
        yield figure
    finally:
        for put, old, _ in changes:
            put(old)


def _changes(figure: Figure) -> list[tuple[Callable, Any, Any]]:
    """How to put each colour, what it is and what it is in the dark; nothing is changed yet."""
    figure.draw_without_rendering()  # ticks are made when they are first drawn
    found = []
    for artist in {id(artist): artist for artist in figure.findobj()}.values():
        names: tuple[str, ...] = ()
        if isinstance(artist, ScalarMappable) and artist.cmap.name == figures.DIVERGING.name:
            found.append((artist.set_cmap, artist.cmap, DIVERGING))
        if isinstance(artist, Text):
            names = ("color",)
        elif isinstance(artist, Line2D):
            names = ("color", "markerfacecolor", "markeredgecolor")
        elif isinstance(artist, Patch | Collection) and not _mapped(artist):
            names = ("facecolor", "edgecolor")
        for name in names:
            old = getattr(artist, f"get_{name}")()
            if not (isinstance(old, str) and old == "none"):
                found.append((getattr(artist, f"set_{name}"), old, _partner(old)))
    return found


def _mapped(artist) -> bool:
    """Do its colours stand for numbers?"""
    return isinstance(artist, Collection) and artist.get_array() is not None


def _partner(value) -> Any:
    """What `turned` makes of a colour, or of each of an array of them."""
    many = isinstance(value, np.ndarray) and value.ndim == 2
    return [turned(colour) for colour in value] if many else turned(value)


def both(light: str, dark: str, alt: str, look: str = "") -> str:
    """Markup of a picture for light pages and of its twin for dark ones, of which one is seen.

    Args:
        light, dark: addresses of the two.
        alt: what is seen on the light one; black and white change places for the dark one.
        look: further attributes of both.
    """
    swapped = re.sub(r"\b(black|white)\b", lambda found: SWAP[found[0]], alt)
    images = (
        f'<img class="only-{mode}" src="{source}" alt="{html.escape(text)}"{look and f" {look}"}>'
        for mode, source, text in (("light", light, alt), ("dark", dark, swapped))
    )
    return f'<div class="ts-figure">{"".join(images)}</div>'
