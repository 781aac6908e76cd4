"""What may be said: each rule on tables written by hand, on both sides of its limit."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import placement
from taskspace_utils.publishing import sayings
from taskspace_utils.tables import MODEL_KEYS, TABLES, Run, write_run

CONTEXT = [f"task_{i:02}" for i in range(12)]
SHAMS = [f"sham_{i}" for i in range(6)]
MODEL = {"model": "mine", "scale": "", "seed": "", "step": ""}


def filled(name: str, rows: list[dict]) -> pd.DataFrame:
    keys, columns = TABLES[name]
    table = pd.DataFrame(rows).reindex(columns=[*keys, *columns])
    if set(MODEL_KEYS) <= set(keys):
        table[MODEL_KEYS] = [MODEL[key] for key in MODEL_KEYS]
    return table


def cosine(a: str, b: str, near: float, words: dict) -> float:
    """A space in which words explain half of likeness, and `near` is that of mine and task_00."""
    if {a, b} == {"mine", "task_00"}:
        return near
    pair = f"{min(a, b)} {max(a, b)}"
    noise = np.random.default_rng(zlib.crc32(pair.encode())).normal(scale=0.02)
    return 1.0 if a == b else 0.5 * words[a, b] + noise


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a run of one task of mine among twelve others and six shams, with what is changed."""
    names = sorted(["mine", *CONTEXT, *SHAMS])
    place = {name: i for i, name in enumerate(names)}

    def make(
        accuracy=0.9, n=60, bag=0.5, reliability=0.8, near=0.6, low=0.4, high=0.8, nearest=1.0,
        flips=1.0, reached=1, moved=0.0, sham_near=0.0, context=True, **manifest,
    ) -> Run:  # fmt: skip
        words = {
            (a, b): ((place[a] * 7 + place[b] * 7) % 11 - 5) / 10 for a in names for b in names
        }
        tasks = names if context else ["mine", "task_00"]
        rows = []
        for a in tasks:
            for b in tasks:
                value = cosine(a, b, near, words)
                pair = sorted((a, b))
                if pair[0].startswith("sham") and pair[1] == f"task_{pair[0][-1:]:0>2}":
                    value = sham_near
                rows.append({"a": a, "b": b, "cosine_corrected": value, "cosine": value})
        placed = [{"a": "mine", "b": b, "cosine": reliability if b == "mine" else 0.3,
                   "corrected": np.nan if reliability < 0.5 else cosine("mine", b, near, words),
                   "corrected_low": low, "corrected_high": high, "nearest": nearest,
                   "above_flips": flips} for b in tasks]  # fmt: skip
        facts = [{"task": t, "phenomenon": t if t != "mine" else "unlabelled",
                  "reliability": reliability if t == "mine" else 0.9,
                  "bag_accuracy": bag, "family": "", "flag": "",
                  "sham_of": f"task_{t[-1:]:0>2}" if t.startswith("sham") else ""}
                 for t in tasks]  # fmt: skip
        lexical = [{"a": a, "b": b, "lexical_diff": 1.0 if a == b else words[a, b]}
                   for a in tasks for b in tasks]  # fmt: skip
        transfer = [{"tuning": "g3", "source": "mine", "target": b, "margin_before": 0.0,
                     "margin_after": moved, "margin_se": 0.1, "flag": ""}
                    for b in tasks]  # fmt: skip
        tables = {
            "accuracy": [{"task": t, "n": n, "accuracy": accuracy} for t in tasks],
            "gradient": rows, "placement": placed, "tasks": facts, "lexical": lexical,
            "transfer": transfer,
            "tuning": [{"tuning": "g3", "source": "mine", "own_gain": 3.0, "reached": reached,
                        "flag": "" if reached else "zero gradient"}],
        }  # fmt: skip
        about = {"tasks": tasks, "own": ["mine"], "pairs_per_task": n} | manifest
        tables = {name: filled(name, some) for name, some in tables.items()}
        return write_run(tmp_path / "run", tables, about)

    return make


def said(run: Run, *, may: bool) -> str:
    where = placement.models_of(run)[0]
    return "\n".join(f"{s.task}: {s.text} ({s.because})"
                     for s in sayings.sayings(run, **where) if s.may is may)  # fmt: skip


def test_accuracy_off_one_half_and_not(made):
    assert "prefers the good sentences more often than chance (90% of 60" in said(made(), may=True)
    assert "prefers the bad sentences" in said(made(accuracy=0.1), may=True)
    unsure = made(accuracy=0.6, n=20)
    assert "that the model knows this task, or that it doesn't" in said(unsure, may=False)
    assert "than chance" not in said(unsure, may=True)


def test_the_interval_of_an_accuracy():
    low, high = sayings.interval(0.5, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)  # Wilson (1927), by hand
    assert sayings.interval(1.0, 10)[1] == 1
    assert sayings.interval(0.55, 10) == sayings.interval(0.5, 10), "a tie is rounded down"
    for right in range(61):  # as a table keeps it
        low, high = sayings.interval(float(f"{right / 60:.9g}"), 60)
        assert low <= right / 60 <= high
        assert (low, high) == sayings.interval(right / 60, 60)


def test_a_bag_of_words_takes_the_rule_away(made):
    assert "takes a rule of grammar" not in said(made(bag=0.89), may=False)
    assert "takes a rule of grammar (a bag of words" in said(made(bag=0.9), may=False)
    assert "takes a rule" not in said(made(bag=0.95, accuracy=0.5), may=False), "nothing to explain"


def test_an_unreliable_task_has_no_place_and_is_told_how_many_pairs_it_needs(made):
    run = made(reliability=0.25)
    assert "where it stands among other tasks (reliability 0.25" in said(run, may=False)
    assert "about 180 pairs would reach it" in said(run, may=False)  # 3 times 60
    assert "task_00" not in said(run, may=True).replace("teaching", "")
    assert "more pairs may not help; where what is right in one" in \
        said(made(reliability=-0.1), may=False)  # fmt: skip
    assert "one item" not in said(made(reliability=0.1), may=False)


def test_the_nearest_task_in_nearly_all_draws_and_in_some(made):
    assert "most like that of task_00 (corrected cosine 0.60" in said(made(), may=True)
    run = made(nearest=0.6)
    assert "its learning signal is like that of task_00" in said(run, may=True)
    assert "that task_00 is the nearest (it is so in 60% of draws" in said(run, may=False)
    assert "it is so in 92.5% of draws" in said(made(nearest=0.925), may=False)
    assert "nearest in 99.5% of draws" in said(made(nearest=0.995), may=True), "100% would be all"


@pytest.mark.parametrize(("change", "why"), [
    ({"low": -0.01}, "95 % interval -0.01 to 0.80; the interval holds 0)"),
    ({"flips": 0.94}, "6% of versions of it with good and bad swapped"),
])  # fmt: skip
def test_a_likeness_that_may_be_nothing(made, change, why):
    run = made(**change)
    [line] = [s for s in said(run, may=False).split("\n") if "like its nearest task, task_00" in s]
    assert why in line
    assert "task_00" not in said(run, may=True)


def test_likeness_beyond_words(made):
    assert "is more than shared words or chance" in said(made(near=0.6), may=True)
    run = made(near=0.0)  # another task is the nearest, as words have it
    first = placement.placed(run, **placement.models_of(run)[0]).iloc[0]
    assert first["above_nearest"] < sayings.SURE
    assert f"that the likeness to {first['b']} is more than shared words" in said(run, may=False)


def test_a_nearest_task_by_chance_is_not_said_to_be_alike():
    near = pd.DataFrame([{
        "a": "mine", "b": "other", "corrected": 0.05, "corrected_low": 0.01, "corrected_high": 0.1,
        "nearest": 0.6, "above_flips": 1.0, "above_nearest": 0.38, "above_shams": np.nan,
        "lexical_diff": 0.0, "sham": False,
    }])  # fmt: skip
    assert not any(found.may for found in sayings.of_place("mine", near))
    rank = near.assign(above_nearest=0.96)
    texts = [found.text for found in sayings.of_place("mine", rank) if found.may]
    assert texts[0] == "its learning signal is like that of other"
    unknown = [s for s in sayings.of_place("mine", near.assign(above_nearest=np.nan)) if s.may]
    assert [found.text for found in unknown] == texts[:1]


def test_a_reliability_is_only_as_sure_as_its_interval():
    row = pd.Series({"reliability": 0.84, "flag": ""})
    assert [s.may for s in sayings.of_reliability("mine", row, 60)] == [True]
    assert [s.may for s in sayings.of_reliability("mine", row, 60, 0.7)] == [True]
    first, second = sayings.of_reliability("mine", row, 60, 0.35)
    assert (first.may, second.may) == (True, False)
    assert "begins at 0.35, under 0.5" in second.because


def test_without_a_context_words_can_not_be_ruled_out(made):
    text = said(made(context=False), may=False)
    assert "--context grammar or blimp adds some, and a file does if it has a column" in text
    assert "more than shared words or chance" not in said(made(context=False), may=True)


def test_shams_that_lie_as_high_take_the_grammar_away(made):
    assert "is one of grammar" not in said(made(), may=False)
    assert "is one of grammar (100% of shams" in said(made(sham_near=0.95), may=False)
    run = made(near=-1.0)  # then a sham is the nearest
    first = placement.placed(run, model="mine").query("sham").iloc[0]
    found = list(sayings.of_place("mine", first.to_frame().T))
    assert found[-1].because == f"{first['b']} is a sham: its choice is arbitrary"


def test_a_context_without_shams_does_not_make_a_likeness_one_of_grammar(made):
    near = placement.placed(made(), model="mine").assign(above_shams=np.nan)
    found = list(sayings.of_place("mine", near))
    assert [s.may for s in found][-2:] == [True, False], "beyond words, and no further"
    assert "is one of grammar" in found[-1].text
    assert "too few shams" in found[-1].because


def test_transfer_that_did_not_happen_moved_nothing_or_moved_others(made):
    text = said(made(reached=0), may=False)
    assert "what teaching it does to other tasks (g3) (the target was not reached: zero" in text
    assert "that teaching it moves other tasks (g3) (0 of 18" in said(made(), may=False)
    assert "by +0.30 nats (18 of 18 other tasks" in said(made(moved=0.3), may=True)


@pytest.mark.parametrize(("beyond", "of", "may"), [
    (1, 18, False), (2, 18, False), (3, 18, False), (4, 18, True), (1, 13, False), (1, 2, False),
    (2, 2, True),
])  # fmt: skip
def test_as_many_tasks_as_chance_moves_are_none(beyond, of, may):
    cells = pd.DataFrame({"source": "mine", "tuning": "g3", "target": [f"t{i}" for i in range(of)],
                          "margin_before": 0.0, "margin_se": 0.1,
                          "margin_after": [0.3] * beyond + [0.0] * (of - beyond)})  # fmt: skip
    tuning = pd.DataFrame({"source": ["mine"], "tuning": "g3", "reached": 1, "flag": ""})
    [found] = sayings.of_transfer("mine", tuning, cells)
    assert found.may is may
    if (beyond, of) == (1, 13):  # 1 - 0.95 ** 13
        assert found.because.endswith("where nothing moves, 49% of tunings have as many that do")


def test_what_no_probe_carries(made):
    text = said(made(), may=False)
    assert "that the model computes two tasks in the same way" in text
    assert "one model was probed, of one seed" in text
    assert "part of them was free" not in text
    run = made()
    some = run.table("accuracy")
    both = pd.concat([some, some.assign(model="later")])
    revisions = write_run(run.folder, {"accuracy": both}, run.manifest)
    assert "revisions of one model were probed, of one seed" in said(revisions, may=False)
    both["seed"] = both["model"].map({"mine": 1, "later": 2})
    seeds = write_run(run.folder, {"accuracy": both}, run.manifest)
    assert "of this kind or size" not in said(seeds, may=False)
    assert "this remark" not in text
    assert "without this remark (30 pairs" in said(made(doubts=["30 pairs …"]), may=False)
    assert "only part of them was free: last-2" in said(made(params="last-2"), may=False)


def test_placed_ranks_against_lines_drawn_without_the_task_itself(made):
    """The line, the heights and the ranks, computed anew with plain loops."""
    run = made()
    found = placement.placed(run, model="mine").set_index("b")
    cells = run.table("gradient").set_index(["a", "b"])["cosine_corrected"]
    words = run.table("lexical").set_index(["a", "b"])["lexical_diff"]
    pairs = [(a, b) for i, a in enumerate(CONTEXT) for b in CONTEXT[i + 1 :]]
    slope, start = np.polyfit([words[p] for p in pairs], [cells[p] for p in pairs], 1)
    heights = [cells[p] - slope * words[p] - start for p in pairs]
    mine = cells["mine", "task_00"] - slope * words["mine", "task_00"] - start
    assert found.loc["task_00", "excess"] == pytest.approx(mine)
    assert found.loc["task_00", "share_below"] == np.mean([h < mine for h in heights])
    best = [max(h for p, h in zip(pairs, heights, strict=True) if t in p) for t in CONTEXT]
    assert found.loc["task_00", "above_nearest"] == np.mean([h < mine for h in best]) == 1
    other = found.loc["task_05"]
    assert other["above_nearest"] == np.mean([h < other["excess"] for h in best])
    assert other["above_nearest"] <= other["share_below"]
    shams = [cells[s, f"task_0{s[-1]}"] - slope * words[s, f"task_0{s[-1]}"] - start for s in SHAMS]
    assert found.loc["task_00", "above_shams"] == np.mean([h < mine for h in shams])
