"""Colours: told apart by eyes that lack a receptor, on white paper and in the dark."""

from __future__ import annotations

import io
import re
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_hex, to_rgb

from taskspace_utils import dark, figures
from taskspace_utils.explore.markup import picture
from taskspace_utils.figures import slopes, space
from taskspace_utils.publishing import redraw

# What an eye sees that lacks a receptor, in linear RGB (Machado, Oliveira and Fernandes 2009,
# severity 1.0).
EYES = {
    "with all three": np.eye(3),
    "without red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "without green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "without blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# CIE Lab from linear sRGB under D65
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375],
     [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])  # fmt: skip
APART = 14.0  # a difference (ΔE, CIE 1976) that is seen at once; 2.3 is the least that is seen


def seen(colour, eye: str) -> np.ndarray:
    """A colour in CIE Lab as an eye sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(np.array(EYES[eye]) @ linear, 0, 1)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one, other, eye: str) -> float:
    return float(np.linalg.norm(seen(one, eye) - seen(other, eye)))


def test_the_measure_finds_the_pair_that_nobody_should_use():
    red, green = "#d62728", "#2ca02c"
    assert apart(red, green, "with all three") > 100
    assert apart(red, green, "without green") < 0.5 * apart(red, green, "with all three")
    assert apart("#8f5f00", "#4f7a00", "without red") < APART


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colours", [figures.COLOURS, dark.COLOURS], ids=["light", "dark"])
def test_every_two_colours_are_told_apart_by_every_eye(colours, eye):
    close = {(a, b): apart(a, b, eye) for a, b in combinations(colours, 2)}
    assert {pair: d for pair, d in close.items() if d < APART} == {}


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("scale", [figures.DIVERGING, dark.DIVERGING], ids=["light", "dark"])
def test_minus_and_plus_are_told_apart_and_grow_from_nothing_on_both_sides(scale, eye):
    for size in np.linspace(0.3, 1, 8):
        low, high = scale(0.5 - size / 2), scale(0.5 + size / 2)
        assert apart(low, high, eye) > APART, size
        assert abs(seen(low, eye)[0] - seen(high, eye)[0]) < 20, size  # neither sign stands out
    for side in (-1, 1):
        lightness = [seen(scale(0.5 + side * v / 2), eye)[0] for v in np.linspace(0, 1, 11)]
        assert len(set(np.sign(np.diff(lightness)))) == 1


def test_figures_use_no_colours_beyond_the_palette_and_greys():
    named = r"color\w*=\"(?!none|black|white|face|auto)([a-z]+)\""
    for module in redraw.modules():
        text = (redraw.CODE / f"{module}.py").read_text(encoding="utf-8")
        own = {c.upper() for c in re.findall(r"#[0-9a-fA-F]{6}", text)} - set(figures.COLOURS)
        assert [c for c in own if len({c[1:3], c[3:5], c[5:7]}) > 1] == [], module
        assert re.findall(named, text) == [], module


def test_contrast_is_that_of_wcag():
    assert dark.contrast("white", "black") == 21
    assert dark.contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)  # a known example
    assert dark.contrast("#0072B2", "#0072B2") == 1


def test_in_the_dark_black_and_white_change_places_and_all_can_be_seen():
    assert to_hex(dark.turned("white")) == dark.PAPER
    assert to_hex(dark.turned("black")) == dark.INK
    assert dark.turned((0, 0, 0, 0.25))[3] == 0.25
    for colour in [*figures.COLOURS, "#000080", "#400000", "purple"]:
        assert dark.contrast(dark.turned(colour), dark.PAPER) >= dark.CONTRAST, colour
    greys = [dark.luminance(dark.turned(str(g))) for g in np.linspace(0, 1, 11)]
    assert greys == sorted(greys, reverse=True)


CELLS = pd.DataFrame(
    [("x", "x", 1.0), ("x", "y", -0.5), ("y", "x", np.nan), ("y", "y", 1.0)],
    columns=["source", "target", "value"],
).assign(phenomenon="p", name="cosine")
SLOPES = pd.DataFrame(
    {"space": ["1", "2"], "hypothesis": "h", "slope": [0.5, 0.2], "low": 0.1, "high": 0.7,
     "p": [0.01, 0.5], "r2": 0.1, "vif": 1.0, "n_tasks": 9}
)  # fmt: skip


def test_a_figure_turns_dark_with_its_shapes_and_numbers():
    light, turned = slopes.plot(SLOPES), dark.darken(slopes.plot(SLOPES))
    light.draw_without_rendering()
    assert to_hex(turned.get_facecolor()) == dark.PAPER
    for before, after in zip(light.axes[0].collections, turned.axes[0].collections, strict=True):
        assert np.array_equal(before.get_offsets(), after.get_offsets())
    marks = [to_hex(c) for s in turned.axes[0].collections for c in s.get_facecolors()]
    assert dark.COLOURS[0].lower() in marks  # filled: p ≤ 0.05
    assert dark.PAPER in marks  # hollow: as white was on white
    assert light.axes[0].get_xlim() == turned.axes[0].get_xlim()
    for text in turned.findobj(plt.Text):
        assert dark.contrast(text.get_color(), dark.PAPER) >= 4.5


def test_a_heat_map_and_its_bar_take_the_scale_of_the_dark():
    figure = dark.darken(space.plot(CELLS, limit=1.0))
    [image] = figure.axes[0].images
    drawn = image.to_rgba(image.get_array())
    assert to_hex(drawn[0, 0]) == to_hex(dark.DIVERGING(1.0))
    assert to_hex(drawn[1, 0]) == "#4d4d4d"  # no value: grey, as in the light
    bar = figure.axes[1].findobj(lambda a: hasattr(a, "cmap") and a.get_array() is not None)
    assert {a.cmap.name for a in bar} == {dark.DIVERGING.name}


def test_a_picture_for_other_pages_is_there_twice_and_its_figure_stays_light():
    figure = slopes.plot(SLOPES)
    before = drawn(figure)
    markup = picture(figure, 'black dots & "white" ones')
    one, two = BeautifulSoup(markup, "html.parser").select("img")
    assert (one["class"], two["class"]) == (["only-light"], ["only-dark"])
    assert (one["alt"], two["alt"]) == (
        'black dots & "white" ones', 'white dots & "black" ones')  # fmt: skip
    assert one["src"] != two["src"]
    assert drawn(figure) == before
    assert len(plt.get_fignums()) == 1  # or the notebook would show another one, too


def drawn(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["lines and points", "heat map"])
def test_a_figure_is_dark_for_a_while_and_then_as_it_was(kind):
    make = {
        "lines and points": lambda: slopes.plot(SLOPES),
        "heat map": lambda: space.plot(CELLS, limit=1.0),
    }[kind]
    figure, other = make(), make()
    for one in (figure, other):
        one.draw_without_rendering()
        one.set_layout_engine("none")  # it would move things a little at each drawing
    before = drawn(figure)
    assert drawn(other) == before
    with dark.darkened(figure) as turned:
        assert drawn(turned) == drawn(dark.darken(other)) != before
    assert drawn(figure) == before
