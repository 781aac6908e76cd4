"""The figures of spaces, maps and tests: their tables say what they claim, and each is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import families, hypotheses
from taskspace_utils.figures import (
    aligned_maps,
    false_positives,
    layers,
    lessons,
    slopes,
    space,
)

from .test_families import of
from .test_spaces import random_space


def test_residuals_are_measured_less_predicted():
    table = pd.DataFrame(
        [(1, "a", 3.0, 3.0), (1, "b", 4.0, 2.0), (2, "a", 6.0, 0.0), (2, "b", 8.0, 0.0)],
        columns=["gain", "target", "real", "predicted"],
    )
    found = lessons.load(table)
    assert found["change"].tolist() == pytest.approx([np.sqrt(12.5), np.sqrt(50)])
    assert found["residual"].tolist() == pytest.approx([np.sqrt(2), np.sqrt(50)])
    ax = lessons.plot(found).axes[0]
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_layers_keep_their_order_and_every_measure_has_a_panel():
    row = pd.DataFrame({"value": [0.2], "low": [0.1], "high": [0.3]}, index=["median"])
    found = {(layer, m): row for layer in ("embeddings", "block 1") for m in ("x", "y", "z", "w")}
    table = layers.load(found)
    assert list(dict.fromkeys(table["layer"])) == ["embeddings", "block 1"]
    shown = [ax for ax in layers.plot(table).axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == ["x", "y", "z", "w"]


def test_maps_are_turned_onto_the_one_named():
    one = random_space(8, 0) / 4
    phenomenon = of(8)
    table = aligned_maps.load({"here": one, "again": one}, phenomenon, "here", 1)
    assert table.groupby(["form", "name"]).size().tolist() == [8] * 4
    for form in ("signed", "absolute"):
        some = table[table["form"] == form]
        here, again = (some[some["name"] == n][["x", "y"]].to_numpy() for n in ("here", "again"))
        np.testing.assert_allclose(here, again, atol=1e-9)
    assert len(aligned_maps.plot(table).axes) == 4


def test_live_rates_stand_beside_the_published_ones():
    published = false_positives.load()
    live = published.drop(columns="source").assign(rate=0.5).replace({"labels": {"none": ""}})
    both = false_positives.load(live)
    assert both["source"].value_counts().to_dict() == dict.fromkeys(
        ("published", "live"), len(published)
    )
    assert set(both["labels"]) == {"by family", "by task", "none"}
    assert len(false_positives.plot(both).axes) == 2


def test_slopes_have_their_intervals_where_there_are_any():
    one, named = random_space(10, 1), {"x": random_space(10, 2)}
    full = families.regress(one, named, of(10), 19, 19)
    bare = hypotheses.regress(one, named, 19)
    table = slopes.load({"full": full, "bare": bare}).set_index("space")
    assert table.loc["full", "low"] == full["low"].item()
    assert np.isnan(table.loc["bare", "low"])
    assert slopes.plot(table.reset_index()).axes


def test_labels_of_colour_bars_are_short_enough_for_the_smallest_space():
    assert max(map(len, space.LABELS.values())) <= 24
