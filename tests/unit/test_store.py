"""Files that appear whole or not at all, keys that stand for content, a store that is marked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_run_is_replaced_and_nothing_that_somebody_put_beside_it(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("accuracy.csv", "gradient.csv.xz", "report.html", "report.ipynb", ".DS_Store"):
        (run / name).touch()
    (run / "manifest.json").write_text('{"sha256": {}}')
    store.new_folder(run, "manifest.json")
    (run / "manifest.json").write_text('{"meth')  # a broken one can be mended by the same command
    store.new_folder(run, "manifest.json")
    (run / "notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.md, which no run has written"):
        store.new_folder(run, "manifest.json")
    (run / "notes.md").unlink()
    (run / "manifest.json").write_text('{"name": "an extension of a browser"}')
    with pytest.raises(InputError, match=r"holds a manifest\.json, which no run has written"):
        store.new_folder(run, "manifest.json")
    assert (run / "accuracy.csv").exists()


def test_new_folders_that_fail_leave_what_was(tmp_path):
    out = tmp_path / "run"

    def fill(text: str) -> None:
        with store.new_folder(out, "card.json") as folder:
            (folder / "card.json").write_text(text)
            if text == "bad":
                raise RuntimeError
            (folder / text).mkdir()

    with pytest.raises(RuntimeError):
        fill("bad")
    assert names(tmp_path) == []
    fill("one")
    with pytest.raises(RuntimeError):
        fill("bad")
    assert names(out) == ["card.json", "one"]
    fill("two")  # replaced whole: nothing of the first stays
    assert names(tmp_path) == ["run", "run/card.json", "run/two"]


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


def test_a_folder_that_can_not_be_made_is_refused_before_the_work(tmp_path, monkeypatch):
    def refuses(**asked):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store.tempfile, "mkdtemp", refuses)
    with pytest.raises(InputError, match=r"new: nothing can be made in .*Permission denied"):
        store.new_folder(tmp_path / "deep" / "new", "manifest.json")
    assert list(tmp_path.iterdir()) == []
