"""Files that appear whole or not at all, tables that come back, keys that stand for content."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskspace_utils import store
from taskspace_utils.store import InputError


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


# ------------------------------------------------------------------------------------- whole or not


@pytest.mark.parametrize("call", ["replace", "fdopen", "chmod"])
def test_a_fault_of_the_disk_leaves_the_old_file(call, tmp_path, monkeypatch):
    path = store.write_atomic(tmp_path / "a" / "table.csv", "old")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space"):
            store.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a", "a/table.csv"]  # and no temporary one
    assert store.write_atomic(path, b"new").read_bytes() == b"new"


def test_an_interrupt_leaves_the_old_file(tmp_path, monkeypatch):
    path = store.write_atomic(tmp_path / "table.csv", "old")

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        store.write_atomic(path, "new")
    assert (path.read_text(), names(tmp_path)) == ("old", ["table.csv"])


def test_readers_never_see_half_a_file(tmp_path):
    """A second process reads all the while: it finds one content or the other."""
    path = store.write_atomic(tmp_path / "f", "a" * 100_000)
    code = (
        "import sys, time\nend, seen = time.monotonic() + 1, set()\n"
        "print('go', flush=True)\n"
        "while time.monotonic() < end: seen.add(open(sys.argv[1]).read())\n"
        "assert all(len(set(s)) == 1 and len(s) == 100_000 for s in seen), seen\n"
    )
    reader = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    reader.stdout.readline()
    while reader.poll() is None:
        for letter in "bc":
            store.write_atomic(path, letter * 100_000)
    reader.stdout.close()
    assert reader.returncode == 0


def test_new_folders_appear_at_the_end(tmp_path):
    with store.new_folder(tmp_path / "run", "manifest.json") as folder:
        (folder / "manifest.json").write_text("{}")
        assert not (tmp_path / "run").exists()
    assert names(tmp_path) == ["run", "run/manifest.json"]


def test_new_folders_that_fail_leave_what_was(tmp_path):
    out = tmp_path / "run"

    def fill(text: str) -> None:
        with store.new_folder(out, "manifest.json") as folder:
            (folder / "manifest.json").write_text(text)
            if text == "bad":
                raise RuntimeError
            (folder / text).mkdir()

    with pytest.raises(RuntimeError):
        fill("bad")
    assert names(tmp_path) == []
    fill("one")
    with pytest.raises(RuntimeError):
        fill("bad")
    assert names(out) == ["manifest.json", "one"]
    fill("two")  # replaced whole: nothing of the first stays
    assert names(tmp_path) == ["run", "run/manifest.json", "run/two"]


def test_folders_that_are_not_ours_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"not ours \(no manifest\.json"):
        store.new_folder(tmp_path, "manifest.json")
    with pytest.raises(InputError, match="is a file"):
        store.new_folder(tmp_path / "thesis.tex", "manifest.json")
    with pytest.raises(InputError, match="is a file"):
        store.new_folder(tmp_path / "thesis.tex" / "a" / "b", "manifest.json")
    (tmp_path / "empty").mkdir()
    with store.new_folder(tmp_path / "empty", "m") as folder:
        (folder / "m").touch()
    assert names(tmp_path) == ["empty", "empty/m", "thesis.tex"]


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
    assert store.table_text(table, ["task", "step"]) == (
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
    path = store.write_table(tmp_path / f"t{ending}", table, ["task"])
    back = store.read_table(path)
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
    back = store.read_table(store.write_table(tmp_path / "m.csv", table, ["task", "pair_id"]))
    assert back["pair_id"].tolist() == ["01", "1"]
    assert back["task"].tolist() == ["7", "7"]


numbers = st.floats(-1e9, 1e9).map(lambda x: x + 0.0)  # no −0, which comes back as 0


@settings(max_examples=15)
@given(st.lists(st.tuples(st.text("abc", min_size=1), numbers), min_size=1, max_size=8))
def test_writing_a_table_that_was_read_changes_no_byte(rows):
    table = pd.DataFrame(rows, columns=["task", "x"])
    path = store.store_path("test_store", "table.csv")
    first = store.write_table(path, table, ["task"]).read_bytes()
    assert store.write_table(path, store.read_table(path), ["task"]).read_bytes() == first
    np.testing.assert_allclose(
        store.read_table(path)["x"].sort_values(), np.sort(table["x"]), rtol=1e-8
    )


# -------------------------------------------------------------------------------------- run folders


def tables() -> dict[str, pd.DataFrame]:
    found = {}
    for name in ("accuracy", "lexical"):
        keys, columns = store.TABLES[name]
        found[name] = pd.DataFrame([[f"{c}{i}" for c in (*keys, *columns)] for i in (2, 1)],
                                   columns=[*keys, *columns])  # fmt: skip
    return found


def test_a_run_folder_comes_back(tmp_path):
    run = store.write_run(tmp_path / "run", tables(), {"b": 1, "a": "ñ"})
    assert names(run.folder) == ["accuracy.csv", "lexical.csv", "manifest.json"]
    assert (run.folder / "manifest.json").read_text() == '{\n "a": "ñ",\n "b": 1\n}\n'
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
    old = store.write_run(tmp_path / "run", tables(), {"old": True})
    with pytest.raises(ValueError, match=message):
        store.write_run(tmp_path / "run", change(tables()), {})
    assert store.Run(old.folder).manifest == {"old": True}


def test_large_tables_are_compressed_and_read_the_same(tmp_path):
    n = 190
    a, b = np.divmod(np.arange(n * n), n)
    space = pd.DataFrame({"a": a.astype(str), "b": b.astype(str), "lexical_diff": a / 7})
    run = store.write_run(tmp_path / "run", {"lexical": space}, {})
    assert names(run.folder) == ["lexical.csv.xz", "manifest.json"]
    assert len(run.table("lexical")) == n * n


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json.*taskspaces probe"):
        store.Run(tmp_path)
    (tmp_path / "manifest.json").write_text("{broken")
    with pytest.raises(InputError, match=r"manifest\.json"):
        store.Run(tmp_path)
    with pytest.raises(InputError, match="reference"):
        store.reference_run("no-such-run")


def test_model_columns_come_first():
    table = store.model_columns(pd.DataFrame({"task": ["t"]}), "m", step=[3])
    assert table.to_dict("records") == [
        {"model": "m", "scale": "", "seed": "", "step": 3, "task": "t"}
    ]


# --------------------------------------------------------------------------------------------- keys


def test_keys_do_not_depend_on_order_and_do_on_values():
    one = store.key_of({"a": 1, "b": {"x": [1, 2], "y": "ñ"}})
    assert one == store.key_of({"b": {"y": "ñ", "x": (1, 2)}, "a": 1})
    others = [
        {"a": 1},
        {"a": 2, "b": {"x": [1, 2], "y": "ñ"}},
        {"a": 1, "b": {"x": [2, 1], "y": "ñ"}},
    ]
    assert len({one, *map(store.key_of, others)}) == 4
    assert len(one) == 16


def test_keys_are_the_same_in_another_process():
    """Stored results are found again tomorrow, whatever Python's hash seed."""
    canonical = '{"a": "é", "b": [1.5, null]}'
    known = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    code = "from taskspace_utils.store import key_of; print(key_of({'b': [1.5, None], 'a': 'é'}))"
    for seed in ("1", "2"):
        got = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert got.stdout.strip() == known


def test_lines_are_told_apart_by_their_ends():
    assert store.text_key(["ab", "c"]) != store.text_key(["a", "bc"])
    assert store.text_key(["ab", "c"]) == store.text_key(iter(["ab", "c"]))


def test_hashes_of_files(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert store.file_hash(tmp_path / "a") == known
    both = store.tree_hash([tmp_path / "a", tmp_path / "b"])
    assert both == store.tree_hash([tmp_path / "b", str(tmp_path / "a")])
    (tmp_path / "a").rename(tmp_path / "c")
    assert store.tree_hash([tmp_path / "c", tmp_path / "b"]) != both


@pytest.fixture
def rooms(tmp_path, monkeypatch) -> Path:
    """A copy of the package's files, whose version is taken in place of ours."""
    folder = shutil.copytree(
        Path(store.__file__).parent, tmp_path / "rooms", ignore=lambda *_: ["__pycache__"]
    )
    monkeypatch.setattr(store, "__file__", str(folder / "store.py"))
    return folder


def version() -> str:
    return store.code_version.__wrapped__(*store.METHOD_ROOMS)  # uncached


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_method_version_changes_with_code_and_with_nothing_else(rooms):
    first = version()
    edit(rooms / "ftgd.py", "from collections.abc", "# a remark\n\nfrom collections.abc")
    edit(rooms / "ftgd.py", "FTGD: fine-tuning", "Fine-tuning")
    edit(rooms / "ftgd.py", "HALVINGS = 8  #", "HALVINGS    =   8  # more:")
    edit(rooms / "runs.py", "def ", "def other(): pass\n\n\ndef ")  # no method room
    assert version() == first
    edit(rooms / "ftgd.py", "HALVINGS    =   8", "HALVINGS = 9")
    second = version()
    assert second != first
    edit(rooms / "scoring.py", "(np.sign(margin) + 1) / 2", "(np.sign(margin) + 1) / 2.0")
    assert version() not in (first, second)


def test_a_docstring_that_is_added_changes_no_version(rooms):
    first = version()
    edit(
        rooms / "spaces.py",
        "-> np.ndarray:\n    full",
        '-> np.ndarray:\n    """Ranks."""\n    full',
    )
    assert version() == first


def test_the_store_moves_with_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path))
    assert store.store_path("a", "b") == tmp_path / "a" / "b"
    monkeypatch.delenv("TASKSPACES_STORE")
    assert store.store_path() == store.project_root() / ".taskspaces"
    assert store.data_path("scales.yml").is_file()


def test_versions_name_no_build():
    found = store.versions()
    assert set(found) >= {"python", "torch", "transformers", "numpy"}
    assert not any("+" in version for version in found.values())
    json.dumps(found)
