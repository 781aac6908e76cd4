"""Two runs are compared cell by cell where they are of one model, and never across seeds."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import taskspace_utils
from taskspace_utils import comparison
from taskspace_utils.cli import main
from taskspace_utils.figures import claims as forest
from taskspace_utils.publishing import comparison_text
from taskspace_utils.store import InputError
from taskspace_utils.tables import TABLES, Run, model_columns, write_run

TASKS = ["agree", "bind", "gap"]
MANIFEST = {
    "method": "abc", "pairs": "123", "device": "cpu", "precision": "fp32", "machine": "x86_64",
    "processor": "AVX2", "threads": 1, "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
    "parameters": {"pairs_per_task": 80, "corpus_seed": 0, "tasks": []},
}  # fmt: skip


def tables(seeds=(0,), steps=(0, 800)) -> dict[str, pd.DataFrame]:
    """Accuracies, losses and a gradient space; the numbers of a seed do not depend on others."""
    found: dict[str, list] = {"accuracy": [], "training": [], "gradient": []}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for step in (0, 400, 800):
            rows = pd.DataFrame({"task": TASKS}).assign(
                n=80, accuracy=0.5, margin=rng.normal(size=3), margin_sd=1.0, ties=0,
                bits_per_token=rng.normal(5, 1, 3),
            )  # fmt: skip
            loss = pd.DataFrame({"text": ["held-out"], "tokens": [step * 64], "loss": rng.random()})
            pairs = pd.MultiIndex.from_product([TASKS, TASKS], names=["a", "b"]).to_frame()
            space = pairs.reset_index(drop=True).reindex(
                columns=[*TABLES["gradient"][0][4:], *TABLES["gradient"][1]]
            )
            space = space.assign(cosine=rng.uniform(-1, 1, 9), dot=rng.normal(size=9) * 1e-6, k=9)
            for name, rest in (("accuracy", rows), ("training", loss), ("gradient", space)):
                if step in steps:
                    found[name].append(model_columns(rest, f"S-seed{seed}", "S", seed, step))
    return {name: pd.concat(parts) for name, parts in found.items()}


def write(folder, some=None, **manifest) -> Run:
    return write_run(folder, tables() if some is None else some, MANIFEST | manifest)


def verdicts(run, which=None) -> pd.DataFrame:
    """Stands in for the ledger: one claim with a number of the run, one without."""
    value = run.table("accuracy")["margin"].mean()
    verdict = "consistent" if value > 0 else "contrary"
    gaps = [np.nan] * 3
    rows = [
        [
            "F1",
            "gain",
            value,
            value - 0.1,
            value + 0.1,
            "nats",
            0.02,
            verdict,
            1,
            "replication",
            "x",
        ],
        ["F2", "slope", *gaps, "sd", 0.05, "not attempted", 0, "conceptual", "y"],
    ]
    columns = "claim estimand estimate low high unit smallest verdict n_seeds kind figure"
    return pd.DataFrame(rows, columns=columns.split())


@pytest.fixture(autouse=True)
def _ledger(monkeypatch) -> None:
    ledger = SimpleNamespace(verdicts=verdicts)
    monkeypatch.setitem(sys.modules, "taskspace_utils.claims", ledger)
    monkeypatch.setattr(taskspace_utils, "claims", ledger, raising=False)


def changed(name: str, column: str, place: int, by) -> dict[str, pd.DataFrame]:
    some = tables()
    table = some[name].reset_index(drop=True)
    table.loc[place, column] = table.loc[place, column] + by
    return some | {name: table}


def test_the_same_run_is_equal_to_the_last_digit(tmp_path, capsys):
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "220 cells that both have: 220 equal to the last digit (100.00%)" in said
    assert "beyond" not in said
    assert "differs" not in said
    assert "2 of 2 verdicts on claims are the same" in said


@pytest.mark.parametrize(
    ("name", "column", "by", "status"),
    [
        ("accuracy", "margin", 9e-4, 0), ("accuracy", "margin", 2e-3, 1),
        ("accuracy", "accuracy", 1 / 80, 0), ("accuracy", "accuracy", 2 / 80, 1),
        ("accuracy", "ties", 1, 0), ("accuracy", "n", 1, 1), ("accuracy", "margin", np.nan, 1),
        ("gradient", "cosine", 9e-4, 0), ("gradient", "cosine", 2e-3, 1),
        ("gradient", "dot", 1e-8, 1),  # small, but not beside the value
    ],
)  # fmt: skip
def test_how_far_cells_may_lie_apart(name, column, by, status, tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b", changed(name, column, 3, by))
    cells = comparison.compare_cells(one, other)
    row = cells.summary.query("table == @name and column == @column").iloc[0]
    assert row["equal"] == row["cells"] - 1
    assert row["within"] == row["cells"] - status
    if name == "accuracy" and not np.isnan(by):
        assert row["largest"] == pytest.approx(by, rel=1e-6)
        assert row["median"] == 0
    assert comparison_text.report(one, other)[1] == status
    assert comparison_text.report(one, other, tolerance=5.0 if by < 2 else 0.0)[1] in (0, status)
    assert list(cells.beyond["column"]) == [column] * status


def test_an_inner_product_that_cancels_is_measured_by_both_tasks_own(tmp_path):
    some = tables()
    space = some["gradient"].reset_index(drop=True)
    off = space.index[1]
    space.loc[space["a"] == space["b"], "dot"] = 1e-4
    space.loc[off, "dot"] = 1e-9
    near, far = space.copy(), space.copy()
    near.loc[off, "dot"] = 5e-8  # fifty times as much, and nothing beside 1e-4
    far.loc[off, "dot"] = 5e-7
    runs = [
        write(tmp_path / str(i), some | {"gradient": t}) for i, t in enumerate((space, near, far))
    ]
    assert comparison.compare_cells(runs[0], runs[1]).beyond.empty
    assert len(comparison.compare_cells(runs[0], runs[2]).beyond) == 1


def test_what_is_far_apart_is_named_with_likely_reasons(tmp_path):
    one = write(tmp_path / "a")
    versions = {"torch": "2.14.0", "numpy": "2.4.6"}
    some = changed("accuracy", "margin", 4, 0.75)
    other = write(tmp_path / "b", some, method="def", processor="AVX512", versions=versions)
    far = comparison.compare_cells(one, other).beyond.iloc[0]
    assert tuple(far[["table", "column", "scale", "seed", "step", "task"]]) == (
        "accuracy", "margin", "S", "0", "800", "bind",
    )  # fmt: skip
    assert far["other"] - far["one"] == pytest.approx(0.75)
    said = comparison_text.report(one, other)[0]
    for part in (
        "1 cells are beyond the tolerance", "accuracy margin, S-seed0 step 800 task bind: ",
        "the code that decides numbers: abc against def",
        "processor's instructions: AVX2 against AVX512", "torch: 2.13.0 against 2.14.0",
        "held-out losses are equal: the weights are probably the same",
    ):  # fmt: skip
        assert part in said
    assert "numpy" not in said


def test_other_weights_show_in_the_losses(tmp_path):
    one = write(tmp_path / "a")
    other = write(tmp_path / "b", changed("training", "loss", 1, 0.01))
    assert "the models were trained into other weights" in comparison_text.report(one, other)[0]
    bare = write(tmp_path / "c", {"accuracy": changed("accuracy", "margin", 1, 1)["accuracy"]})
    assert "no held-out losses" in comparison_text.report(one, bare)[0]


def test_keys_that_one_run_alone_has_are_named(tmp_path):
    one = write(tmp_path / "a")
    other = write(
        tmp_path / "b", tables(steps=(400, 800)) | {"accuracy": tables((0, 1))["accuracy"]}
    )
    alone = comparison.compare_cells(one, other).alone
    found = {(row.run, row.table): row.what for row in alone.itertuples()}
    assert found == {
        ("B", "accuracy"): "seed 1",
        ("A", "training"): "step 0", ("B", "training"): "step 400",
        ("A", "gradient"): "step 0", ("B", "gradient"): "step 400",
    }  # fmt: skip
    assert "only A has, in gradient, training: step 0" in comparison_text.report(one, other)[0]


def test_seeds_are_never_subtracted_but_seen_as_a_point_and_a_band(tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b", tables(seeds=(1, 2, 3, 4)))
    assert comparison.compare_cells(one, other).summary.empty
    band = comparison.band(one, other, "accuracy").set_index(["step", "task"])
    mine = one.table("accuracy").assign(step=lambda t: t["step"].astype(str))
    rest = other.table("accuracy").groupby(["step", "task"])["margin"].agg(["min", "max"])
    rest.index = rest.index.set_levels(rest.index.levels[0].astype(str), level=0)
    point = mine.set_index(["step", "task"])["margin"]
    assert len(band) == 6
    assert (band["n"] == 4).all()
    for cell in point.index:
        low, high = rest.loc[cell]
        row = band.loc[cell]
        assert (row["value"], row["low"], row["high"]) == (point[cell], low, high)
        assert row["inside"] == (low <= point[cell] <= high)
    said, status = comparison_text.report(one, other)
    assert status == 1
    assert "no seed of one scale and step in common" in said
    assert "inside the range of 4 seeds; 60% expected" in said


def test_a_seed_is_no_part_of_its_own_band(tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b", tables(seeds=range(4)))
    bands = comparison.bands(one, other).set_index("table")
    assert bands.loc["accuracy", "seeds"] == 3
    assert bands.loc["accuracy", "expected"] == 0.5
    assert comparison_text.report(one, other)[1] == 0
    few = write(tmp_path / "c", tables(seeds=(0, 1)))
    assert comparison.bands(one, few).empty  # one other seed is no band


def test_points_of_exchangeable_seeds_lie_inside_as_often_as_expected(tmp_path):
    some = {}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = tables()["accuracy"].iloc[:1].assign(margin=rng.normal())
        some[seed] = rows.assign(seed=seed, model=f"S-seed{seed}")
    inside = []
    for first in range(0, 60, 6):
        run = write(
            tmp_path / str(first), {"accuracy": pd.concat(list(some.values())[first : first + 6])}
        )
        inside.append(comparison.bands(run, run).iloc[0])
    # two of six are the ends, whatever the numbers
    assert [row["inside"] for row in inside] == pytest.approx([4 / 6] * 10)
    assert inside[0]["expected"] == pytest.approx(4 / 6)


def test_claims_stand_side_by_side(tmp_path):
    one = write(tmp_path / "a")
    other = write(tmp_path / "b", tables() | {"accuracy": tables()["accuracy"].assign(margin=-1.0)})
    table = comparison.compare_claims(verdicts(one), verdicts(other)).set_index("claim")
    assert table.loc["F1", "verdict_B"] == "contrary"
    assert table.loc["F1", "B"] == "-1 [-1.1, -0.9]"
    assert table.loc["F2", "A"] == "no number"
    assert table["same"].tolist() == [table.loc["F1", "verdict_A"] == "contrary", True]
    said = comparison_text.report(one, other)[0]
    assert "F2 slope: not attempted" in said


def test_claims_are_drawn_in_units_of_their_smallest_effect(tmp_path):
    table = forest.load(verdicts(write(tmp_path / "a")))
    row = table.iloc[0]
    assert row["high"] - row["low"] == pytest.approx(0.2 / 0.02)
    assert np.isnan(table.loc[1, "estimate"])
    ax = forest.plot(table).axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["F1  gain", "F2  slope"]
    assert [text.get_text() for text in ax.texts] == ["no number"]
    assert set(forest.LOOKS) == {
        "consistent", "contrary", "negligible", "undetermined", "not attempted",
    }  # fmt: skip
    assert len({marker for _, marker in forest.LOOKS.values()}) == len(forest.LOOKS)


def test_bad_input_is_named(tmp_path, capsys):
    run = write(tmp_path / "a")
    folder = tmp_path / "empty"
    folder.mkdir()
    for name, message in [
        ("nowhere", "neither a folder here nor a run that is shipped; those are blimp-8M"),
        (str(folder), "is not a run folder"),
    ]:
        assert main(["compare", str(run.folder), name]) == 2
        assert message in capsys.readouterr().err
    other = write(tmp_path / "b", {k: t.assign(scale="M", model="M") for k, t in tables().items()})
    assert main(["compare", str(run.folder), str(other.folder)]) == 2
    assert "nothing in common" in capsys.readouterr().err
    with pytest.raises(InputError, match="no table of a run folder"):
        comparison.find_run(write_run(tmp_path / "c", {}, MANIFEST).folder)
    with pytest.raises(SystemExit):
        main(["compare", "grammar-S", "grammar-S", "--tolerance", "-1"])


def test_a_table_of_another_version_is_refused(tmp_path):
    run = write(tmp_path / "a")
    path = run.folder / "accuracy.csv"
    path.write_text(path.read_text().replace("margin_sd", "sd"))
    with pytest.raises(InputError, match="table accuracy: no column margin_sd"):
        comparison.compare_cells(run, run)


def test_every_column_is_told_when_asked_for(tmp_path, capsys):
    write(tmp_path / "a")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "a"), "--all"]) == 0
    said = capsys.readouterr().out
    assert said.count("none") >= sum(
        len(TABLES[n][1]) for n in ("accuracy", "gradient", "training")
    )
