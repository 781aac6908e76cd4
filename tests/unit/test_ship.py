"""What is shipped of a large run: fewer columns and digits, which its manifest says."""

from __future__ import annotations

import importlib.util

import pandas as pd
import pytest

from taskspace_utils import comparison, store
from taskspace_utils.tables import TABLES, Run, read_table, write_run

PATH = store.project_root() / "scripts" / "ship.py"
SPEC = importlib.util.spec_from_file_location("ship", PATH)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


@pytest.fixture
def run(tmp_path) -> Run:
    shipped = store.data_path("reference", "blimp-8M")
    table = read_table(shipped / "gradient.csv.xz").query("step == 0")
    few = sorted(table["a"].unique())[:12]
    table = table[table["a"].isin(few) & table["b"].isin(few)]
    return write_run(tmp_path / "run", {"gradient": table}, {"parameters": {}})


def test_a_shipped_table_has_fewer_digits_and_says_what_it_lacks(run, tmp_path):
    script.ship(run, tmp_path / "shipped")
    thin = Run(tmp_path / "shipped")
    said = thin.manifest["shipped"]["gradient"]
    assert not thin.faults()
    keys, columns = TABLES["gradient"]
    kept = list(thin.table("gradient").columns)
    assert sorted(kept + said["left_out"]) == sorted([*keys, *columns])
    assert said["whole"] == run.manifest["sha256"]["gradient.csv"]
    whole, small = run.table("gradient")["dot"], thin.table("gradient")["dot"]
    assert abs(small / whole - 1).max() <= 0.5 * 10 ** (1 - said["digits"])
    assert not small.equals(whole)


def test_the_rows_of_several_scales_are_several_files(run, tmp_path):
    one = run.table("gradient")
    table = pd.concat([one.assign(model="L-seed0", scale="L"), one])
    both = write_run(tmp_path / "both", {"gradient": table}, {"parameters": {}})
    script.ship(both, tmp_path / "apart")
    apart = Run(tmp_path / "apart")
    assert not apart.faults()
    parts = ["gradient-8M.csv.xz", "gradient-L.csv.xz"]
    assert [path.name for path in apart.paths("gradient")] == parts
    assert sorted(apart.manifest["sha256"]) == parts
    (tmp_path / "apart" / parts[0]).unlink()
    assert apart.faults() == [f"{tmp_path / 'apart' / parts[0]} is gone"]
    assert list(apart.table("gradient")["scale"].unique()) == ["L"]


def test_no_shipped_file_is_large():
    files = store.data_path("reference").rglob("*.*")
    assert max(path.stat().st_size for path in files) < 2e6


def test_a_run_is_compared_with_the_columns_that_are_shipped(run, tmp_path):
    script.ship(run, tmp_path / "shipped")
    found = comparison.compare_cells(run, Run(tmp_path / "shipped"))
    assert list(found.summary["column"]) == script.KEPT
    assert found.beyond.empty
    reasons = comparison.likely_reasons(run, Run(tmp_path / "shipped"))
    assert reasons == ["digits: 4 in B's table gradient, as it is shipped"]
    (tmp_path / "shipped" / "gradient.csv").write_text("a,b\nx,y\n")
    with pytest.raises(store.InputError, match="no column model"):
        comparison.compare_cells(run, Run(tmp_path / "shipped"))
