"""Tables that come back, and run folders: whole, in the schema, and as they were written."""

from __future__ import annotations

import hashlib
import lzma
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskspace_utils import store
from taskspace_utils.store import InputError
from taskspace_utils.tables import (
    TABLES,
    Run,
    model_columns,
    read_table,
    reference_run,
    table_text,
    write_run,
    write_table,
)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


# ------------------------------------------------------------------------------------------- tables


def test_a_table_as_text_worked_by_hand():
    table = pd.DataFrame(
        {
            "task": ["b", "a", "a"],
            "step": [1, 10, 9],
            "x": [1 / 3, np.nan, 1e-20],
            "flag": ["", "n,o", 'q"'],
        }
    )
    assert table_text(table, ["task", "step"]) == (
        'task,step,x,flag\na,9,1e-20,"q"""\na,10,,"n,o"\nb,1,0.333333333,\n'
    )


@pytest.mark.parametrize("ending", [".csv", ".csv.xz"])
def test_tables_come_back(ending, tmp_path):
    table = pd.DataFrame(
        {
            "task": ["a", "b", "nan"],
            "n": [1, 2, 3],
            "x": [0.1, np.nan, -np.inf],
            "flag": ["", "", ""],
        }
    )
    path = write_table(tmp_path / f"t{ending}", table, ["task"])
    back = read_table(path)
    assert back["x"].isna().tolist() == [False, True, False]
    assert back["x"].tolist()[0] == 0.1
    assert back["x"].tolist()[2] == -np.inf
    assert back["flag"].tolist() == ["", "", ""]
    assert back["task"].tolist() == ["a", "b", "nan"]  # a task may be called so
    assert back["n"].dtype.kind == "i"
    assert b"\r" not in path.read_bytes()
    if ending == ".csv.xz":
        assert lzma.decompress(path.read_bytes()).startswith(b"task,n,x,flag\n")


def test_names_that_look_like_numbers_stay_names(tmp_path):
    """Pairs 1 and 01 are two pairs, and a task may be called 7."""
    table = pd.DataFrame({"task": ["7", "7"], "pair_id": ["01", "1"], "margin": [1.0, 2.0]})
    back = read_table(write_table(tmp_path / "m.csv", table, ["task", "pair_id"]))
    assert back["pair_id"].tolist() == ["01", "1"]
    assert back["task"].tolist() == ["7", "7"]


numbers = st.floats(-1e9, 1e9).map(lambda x: x + 0.0)  # no −0, which comes back as 0


@settings(max_examples=15)
@given(st.lists(st.tuples(st.text("abc", min_size=1), numbers), min_size=1, max_size=8))
def test_writing_a_table_that_was_read_changes_no_byte(rows):
    table = pd.DataFrame(rows, columns=["task", "x"])
    path = store.store_path("test_store", "table.csv")
    first = write_table(path, table, ["task"]).read_bytes()
    assert write_table(path, read_table(path), ["task"]).read_bytes() == first
    np.testing.assert_allclose(read_table(path)["x"].sort_values(), np.sort(table["x"]), rtol=1e-8)


# -------------------------------------------------------------------------------------- run folders


def tables() -> dict[str, pd.DataFrame]:
    found = {}
    for name in ("accuracy", "lexical"):
        keys, columns = TABLES[name]
        found[name] = pd.DataFrame([[f"{c}{i}" for c in (*keys, *columns)] for i in (2, 1)],
                                   columns=[*keys, *columns])  # fmt: skip
    return found


def test_a_run_folder_comes_back(tmp_path):
    run = write_run(tmp_path / "run", tables(), {"b": 1, "a": "ñ"})
    assert names(run.folder) == ["accuracy.csv", "lexical.csv", "manifest.json"]
    assert (run.folder / "manifest.json").read_text().startswith('{\n "a": "ñ",\n "b": 1,\n')
    assert run.table("lexical")["a"].tolist() == ["a1", "a2"]
    assert run.has("accuracy")
    assert not run.has("transfer")
    with pytest.raises(InputError, match="no table 'transfer'; it has accuracy, lexical"):
        run.table("transfer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"scores": t["lexical"]}, "no table named scores"),
        (lambda t: {"lexical": t["lexical"].drop(columns="b")}, "table lexical: columns"),
        (lambda t: {"lexical": t["lexical"].assign(more=1)}, "table lexical: columns"),
        (lambda t: {"lexical": t["lexical"][["b", "a", "lexical_diff"]]}, "table lexical: columns"),
        (lambda t: {"lexical": t["lexical"].assign(a="a", b="b")}, "two rows have the same a, b"),
    ],
)
def test_tables_that_break_the_schema_are_refused(change, message, tmp_path):
    old = write_run(tmp_path / "run", tables(), {"old": True})
    with pytest.raises(ValueError, match=message):
        write_run(tmp_path / "run", change(tables()), {})
    assert Run(old.folder).manifest["old"] is True
    assert not old.faults()


def test_large_tables_are_compressed_and_read_the_same(tmp_path):
    n = 190
    a, b = np.divmod(np.arange(n * n), n)
    space = pd.DataFrame({"a": a.astype(str), "b": b.astype(str), "lexical_diff": a / 7})
    run = write_run(tmp_path / "run", {"lexical": space}, {})
    assert names(run.folder) == ["lexical.csv.xz", "manifest.json"]
    assert len(run.table("lexical")) == n * n


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json.*taskspaces probe"):
        Run(tmp_path)
    (tmp_path / "manifest.json").write_text("{broken")
    with pytest.raises(InputError, match=r"manifest\.json"):
        Run(tmp_path)
    with pytest.raises(InputError, match="reference"):
        reference_run("no-such-run")


def test_model_columns_come_first():
    table = model_columns(pd.DataFrame({"task": ["t"]}), "m", step=[3])
    assert table.to_dict("records") == [
        {"model": "m", "scale": "", "seed": "", "step": 3, "task": "t"}
    ]


def test_a_table_that_is_no_longer_as_it_was_written_is_named(tmp_path):
    run = write_run(tmp_path / "run", tables(), {})
    known = hashlib.sha256((run.folder / "lexical.csv").read_bytes()).hexdigest()
    assert run.manifest["sha256"]["lexical.csv"] == known
    assert run.faults() == []
    text = (run.folder / "lexical.csv").read_text()
    (run.folder / "lexical.csv").write_text(text.replace("1", "7", 1))
    (run.folder / "accuracy.csv").unlink()
    said = sorted(run.faults())
    assert [s.split("/")[-1] for s in said] == [
        "accuracy.csv is gone",
        "lexical.csv is not as it was written",
    ]


@pytest.mark.parametrize("name", ["blimp-8M", "grammar-S"])
def test_the_runs_that_are_shipped_are_as_they_were_written(name):
    run = reference_run(name)
    files = {p.name for p in run.folder.iterdir()} - {"manifest.json"}
    assert set(run.manifest["sha256"]) == files
    assert run.faults() == []


def test_the_card_describes_every_column():
    card = store.data_path("reference", "README.md").read_text(encoding="utf-8")
    section = card.split("### Columns")[1].split("\n## ")[0]
    described, name = {}, ""
    for row in re.findall(r"^\|(.*?)\| (`.*?) \| (.+) \|$", section, re.MULTILINE):
        name = row[0].strip(" `") or name
        described.setdefault(name, set()).update(re.findall(r"`(\w+)`", row[1]))
    assert sorted(described) == sorted(TABLES)
    for name, (_, columns) in TABLES.items():
        assert set(columns) - {"flag"} <= described[name], name
