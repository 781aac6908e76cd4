"""Figures over scale, step and seed: planted numbers come out, and each is drawn."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import figures, gradients, hypotheses, spaces
from taskspace_utils.figures import (
    good_only,
    hypothesis_fit,
    isolation,
    scale_similarity,
    spaces_by_scale,
    stability,
    step_similarity,
    structure,
)
from taskspace_utils.tables import TABLES, Run, reference_for, write_run

from . import toys

REAL = ["agreement_simple", "agreement_pp", "agreement_embedded", "reflexive_number",
        "reflexive_gender", "gap_simple", "gap_long"]  # fmt: skip
SHAM = "a_sham"
PHENOMENON = {t: t.split("_")[0] for t in REAL} | {SHAM: "preference_sham"}
WITHIN = {("S", 100): 0.4, ("S", 200): 0.6, ("M", 100): 0.5, ("M", 200): 0.7}
LOSS = {("S", 0): 6.0, ("S", 100): 3.0, ("S", 200): 2.0, ("M", 0): 6.0, ("M", 100): 2.5,
        ("M", 200): 1.5}  # fmt: skip


def table(name: str, rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).reindex(columns=[*TABLES[name][0], *TABLES[name][1]])


def planted(folder, seeds=(0,), steps=(0, 100, 200), profile="some") -> Run:
    """Likeness within phenomena as in `WITHIN`, plus a hundredth of the seed; between, 0.1."""
    rng = np.random.default_rng(5)
    names = [*REAL, SHAM]
    noise = {pair: rng.normal(0, 0.02) for pair in product(names, names)}
    rows: dict[str, list] = {name: [] for name in ("gradient", "tasks", "training", "accuracy",
                                                  "transfer", "ladder", "lexical")}  # fmt: skip
    for scale, seed, step in product(("S", "M"), seeds, steps):
        model = {"model": f"{scale}-seed{seed}", "scale": scale, "seed": seed, "step": step}
        rows["training"].append(model | {"text": "held-out", "loss": LOSS[scale, step]})
        sure = 0.2 if step == 0 else 0.8
        for task in names:
            about = {"reliability": sure, "participation": 0.01 * (step + 1), "norm": 1.0}
            about |= {"bag_accuracy": 0.5, "phenomenon": PHENOMENON[task]}
            rows["tasks"].append(model | {"task": task} | about)
            rows["accuracy"].append(model | {"task": task, "n": 8, "accuracy": 0.5})
        for a, b in product(names, names):
            same = PHENOMENON[a] == PHENOMENON[b]
            value = WITHIN.get((scale, step), 0) + 0.01 * seed if same else 0.1
            value = 1.0 if a == b else 9.0 if SHAM in (a, b) else value
            own = {"cosine_corrected": value, "cosine": value * sure, "overlap_lift": 10 * value}
            own["dot"] = value * sure + noise[a, b]
            rows["gradient"].append(model | {"a": a, "b": b} | own)
            if step == steps[-1]:
                moved = {"margin_before": 1.0, "margin_after": 1.0 + 2 * value, "tuning": "one"}
                rows["transfer"].append(model | {"source": a, "target": b} | moved)
        for rung, tuning_step in product(("good", "differential-k0.01"), range(3)):
            about = {"source": "gap_simple", "text": "held-out", "rung": rung, "flag": ""}
            about |= {"tuning_step": tuning_step, "accuracy": 0.5 + 0.1 * tuning_step}
            about["harm_kl"] = 0.01 * tuning_step**2 * (4 if rung == "good" else 1)
            about |= {"gain": tuning_step, "gain_train": tuning_step}
            if (scale, step) == ("S", steps[-1]):
                rows["ladder"].append(model | about)
    words = {pair: rng.normal(0, 0.3) for pair in product(names, names)}
    for a, b in product(names, names):
        rows["lexical"].append({"a": a, "b": b, "lexical_diff": words[min(a, b), max(a, b)]})
    about = {"key": profile, "profile": profile, "pairs": "p", "tasks": names}
    about["parameters"] = {"language": "grammar", "scales": ["S", "M"], "seeds": list(seeds)}
    return write_run(folder, {name: table(name, some) for name, some in rows.items()}, about)


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Run:
    return planted(tmp_path_factory.mktemp("live") / "run")


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Run:
    return planted(tmp_path_factory.mktemp("reference") / "run", (0, 1, 2), profile="reference")


def test_likeness_over_steps_is_the_planted_one_and_knows_no_sham(live, reference):
    found = step_similarity.load(live, reference)
    cosines = found[found["measure"] == "cosine_corrected"]
    for _, row in cosines.iterrows():
        expected = WITHIN[row["scale"], row["step"]] + 0.01 * row["seed"]
        assert row["value"] == pytest.approx(expected if row["group"] == "within" else 0.1)
        assert row["n"] == (5 if row["group"] == "within" else 16)  # pairs of seven tasks
    assert set(found["step"]) == {100, 200}  # at step 0 nothing is reliable
    seeds = found.groupby("run")["seed"].unique().map(list)
    assert seeds.to_dict() == {"live": [0], "reference": [1, 2]}  # no seed twice
    spread = found[(found["measure"] == "participation") & (found["step"] == 200)]
    assert spread["value"].tolist() == pytest.approx([2.01] * len(spread))


def test_at_equal_loss_a_measure_is_interpolated_in_the_loss(live):
    found = scale_similarity.load(live).set_index(["measure", "group", "scale", "at"])["value"]
    found = found.sort_index()
    within = found["cosine_corrected", "within"]
    # both scales reach 2.0: S at its last step, M half way from 2.5 to 1.5
    assert within["S", "equal loss"] == pytest.approx(0.6)
    assert within["M", "equal loss"] == pytest.approx(0.6)
    assert within["M", "step 200"] == within["M", "last step"] == pytest.approx(0.7)
    # relative transfer: what others gained over what the source gained
    assert found["transfer", "within", "M", "step 200"] == pytest.approx(0.7)
    assert found["transfer", "between", "S", "step 200"] == pytest.approx(0.1)


def test_a_reference_with_more_steps_is_compared_at_the_last_step_of_both(reference, tmp_path):
    short = planted(tmp_path / "short", steps=(0, 100))
    found = scale_similarity.load(short, reference)
    assert {"equal loss", "step 100", "last step"} <= set(found["at"])
    there = found[(found["at"] == "step 100") & (found["measure"] == "cosine_corrected")]
    assert set(there["run"]) == {"live", "reference"}


def test_a_space_that_stays_is_stable_but_for_its_noise(live):
    found = stability.load(live)
    assert set(found["kind"]) == {"checkpoints", "scales"}  # one seed, no pair of seeds
    assert (found["n"] == 21).all()
    assert found["value"].between(0.9, 1.1).all()


def test_stability_is_that_of_independent_halves_by_hand():
    rng = np.random.default_rng(0)
    truth, other = rng.normal(size=(2, 4000))
    names = pd.MultiIndex.from_arrays([range(4000), range(4000)])

    def noisy(values):
        drawn = {half: values + rng.normal(size=4000) for half in ("first", "second")}
        return pd.DataFrame(drawn, index=names)

    assert stability._corrected(noisy(truth), noisy(truth))[0] == pytest.approx(1, abs=0.1)
    half = (truth + other) / np.sqrt(2)
    assert stability._corrected(noisy(truth), noisy(half))[0] == pytest.approx(0.71, abs=0.1)


def test_slopes_are_those_of_the_regression(live):
    found = hypothesis_fit.load(live).query("scale == 'M' and step == 200")
    found = found.set_index("hypothesis")["value"]
    [space] = [s for key, s in hypothesis_fit.spaces_of(live, "cosine_corrected")
               if key == ("M", 0, 200)]  # fmt: skip
    labels = hypothesis_fit.read_table(hypothesis_fit.data_path("hypotheses", "grammar.csv"))
    labels = labels[labels["task"].isin(space.index)]
    named = {name: hypotheses.same_label(labels, name) for name in ("phenomenon", "frame")}
    named["lexical_diff"] = hypotheses.lexical_space(live.table("lexical"))
    by_hand = hypotheses.regress(space, named, 9).set_index("hypothesis")
    for name in named:
        assert found[name] == pytest.approx(by_hand.loc[name, "slope"])
    assert found[hypothesis_fit.FIT] == pytest.approx(by_hand["r2"].iloc[0])
    slopes = structure.load(live).set_index(["space", "tasks", "scale"])["value"].sort_index()
    assert slopes["gradient", "all tasks", "M"] == pytest.approx(found["phenomenon"])
    assert slopes["gradient", "order-only", "M"] == slopes["gradient", "all tasks", "M"]


def test_harm_is_compared_where_both_lessons_rose_equally_far(live):
    found = isolation.load(live, rise=0.1).set_index("measure")["value"]
    assert found["harm"] == pytest.approx(np.log(4))  # the plain lesson moves four times as far
    assert found["accuracy"] == pytest.approx(0)
    assert "harm" not in set(isolation.load(live, rise=0.3)["measure"])


def test_spaces_by_scale_are_means_over_seeds(reference):
    found = spaces_by_scale.load(reference)
    cell = found[(found["source"] == "gap_simple") & (found["target"] == "gap_long")]
    cell = cell.set_index(["scale", "space"])["value"].sort_index()
    assert cell["S", "cosine_corrected"] == pytest.approx(0.61)
    assert cell["M", "transfer"] == pytest.approx(0.71)
    assert list(dict.fromkeys(found["scale"])) == ["S", "M"]  # by size
    assert figures.badge(found) == "profile reference, 3 seeds"


def test_differentials_of_the_figure_are_the_gradient_space(monkeypatch, tmp_path):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path))
    lm, pairs = toys.gpt2(), toys.english()
    found = good_only.load(lm, pairs)
    space = spaces.square(gradients.gradient_space(lm, pairs)[0], "cosine")
    own = found[found["loss"] == "differential"].set_index(["a", "b"])["cosine"].sort_index()
    for pair, value in own.items():
        assert value == pytest.approx(space.loc[pair], abs=1e-5)
    assert len(found) == 6
    tasks = pd.Series({t: t for t in space.index})
    assert list(good_only.correlations(found, tasks, 9).index) == ["good", "differential"]
    assert good_only.plot(found).axes


MODULES = [step_similarity, scale_similarity, stability, hypothesis_fit, structure, isolation]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_each_is_drawn_with_a_badge_and_nothing_is_clipped(module, live, reference):
    for runs_ in ((live,), (live, reference)):
        drawn = module.load(*runs_)
        figure = module.plot(drawn)
        badge = figure.get_suptitle()
        assert "live run, profile some, 1 seed" in badge
        assert ("reference run, profile reference, 2 seeds" in badge) == (len(runs_) > 1)
        figure.canvas.draw()
        box = figure.get_tightbbox()
        assert box.x0 > -0.1
        assert box.y0 > -0.1
        assert box.x1 < figure.get_figwidth() + 0.1
    assert module.plot(drawn.iloc[:0]).axes  # a run with nothing to show


def test_means_of_the_spaces_are_drawn(reference):
    assert len(spaces_by_scale.plot(spaces_by_scale.load(reference)).axes) == 5


def test_what_stands_behind_a_run_is_said(live, reference, monkeypatch, tmp_path):
    monkeypatch.setattr("taskspace_utils.tables.data_path",
                        lambda first, *parts: tmp_path.joinpath(*parts))  # fmt: skip
    assert reference_for(live) == (None, "No reference run `grammar` is shipped: figures show this "
                                         "run alone.")  # fmt: skip
    planted(tmp_path / "grammar", (0, 1, 2))
    shipped, sentence = reference_for(live)
    assert shipped.folder == tmp_path / "grammar"
    assert "seeds 1, 2" in sentence
    other = Run(live.folder)
    other.manifest["pairs"] = "others"
    assert reference_for(other)[0] is None
