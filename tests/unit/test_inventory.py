"""What the store holds is listed, checked and pruned; what isn't ours is left alone."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from taskspace_utils import cli, inventory, profiles, runs, store
from taskspace_utils.store import InputError

LONG_AGO = time.time() - 3 * inventory.DAY


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A store with a sweep of a tiny profile that passes for smoke's."""
    home = tmp_path_factory.mktemp("inventory") / "store"
    small = {"tasks": ("agreement_simple", "reflexive_number"), "pairs_per_task": 8, "ladder": {}}
    small |= {"sentences": 200, "steps": 6, "probe_at": (6,), "transfer_at": (6,)}
    profile = replace(profiles.load_profile("smoke"), **small)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(home))
        patch.setattr(runs.jobs.os, "cpu_count", lambda: 1)
        runs.sweep(profile, workers=1)
        patch.setattr(inventory, "load_profile", lambda name: profile)
        yield home


@pytest.fixture
def home(filled, tmp_path, monkeypatch) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(filled, tmp_path / "store")
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def files(home: Path) -> dict[str, int]:
    found = (p for p in home.rglob("*") if p.is_file() and "locks" not in p.parts)
    return {p.relative_to(home).as_posix(): p.stat().st_mtime_ns for p in found}


def edit(path: Path, **changes) -> None:
    """Another record in a record's place, sound and under its own name."""
    record = json.loads(path.read_text())
    about = record["about"] | changes
    path.unlink()
    text = inventory.records._text(about, record["content"])
    named = path.name if path.name == "checksums.json" else f"{store.key_of(about)}.json"
    (path.parent / named).write_text(text)


def one(home: Path, pattern: str) -> Path:
    return sorted(home.glob(pattern))[0]


def test_what_is_there_is_counted(home, capsys):
    table = inventory.listing().set_index(["kind", "of"])
    assert table["number"].to_dict() == {
        ("model", "XS-seed0"): 1,
        ("cell", "accuracy, XS-seed0"): 2,
        ("cell", "gradient, XS-seed0"): 1,
        ("cell", "transfer, XS-seed0"): 4,
        ("inputs", "pairs and texts"): 1,
        ("run", "profile smoke"): 1,
    }
    assert table["useless"].sum() == 0
    on_disk = sum(p.stat().st_size for p in home.rglob("*") if p.is_file())
    assert sum(e.size for e in inventory.entries()) <= on_disk
    (home / "thesis.tex").write_text("mine")
    assert cli.main(["store", "list"]) == 0
    said = capsys.readouterr().out
    assert "thesis.tex" in said
    assert f"MB in {home}" in said


def test_a_sound_store_is_verified_and_keeps_all(home, capsys):
    before = files(home)
    assert cli.main(["store", "verify"]) == 0
    assert capsys.readouterr().out == "10 looked at, 0 faults\n"
    assert cli.main(["store", "prune"]) == 0
    assert capsys.readouterr().out == "0.0 MB removed\n"
    assert files(home) == before


SPOILT = ("cells/*/*.json", "inputs/*.json", "runs/*/transfer.csv", "runs/*/manifest.json",
          "models/*/step-000006/model.safetensors", "models/*/training.csv",
          "models/*/checksums.json")  # fmt: skip


@pytest.mark.parametrize("pattern", SPOILT)
def test_what_is_broken_is_named(pattern, home, capsys):
    path = one(home, pattern)
    path.write_bytes(path.read_bytes()[:-5] + b"}}}}}")
    assert cli.main(["store", "verify"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert str(path) in said[0]
    assert said[1] == "10 looked at, 1 faults"


def test_one_thing_can_be_verified(home, tmp_path, capsys):
    reference = str(store.data_path("reference", "blimp-8M"))
    assert cli.main(["store", "verify", reference]) == 0
    copy = shutil.copytree(reference, tmp_path / "run")
    (copy / "tasks.csv").write_text("changed")
    assert cli.main(["store", "verify", str(copy)]) == 1
    assert "tasks.csv is not as it was written" in capsys.readouterr().out
    step = one(home, "models/*/step-000006")
    assert cli.main(["store", "verify", str(step)]) == 0
    one(home, "models/*/step-000000/config.json").unlink()
    assert cli.main(["store", "verify", str(step)]) == 0
    assert cli.main(["store", "verify", str(step.parent)]) == 1
    assert cli.main(["store", "verify", str(one(home, "cells/*/*.json"))]) == 0
    capsys.readouterr()
    assert cli.main(["store", "verify", str(tmp_path)]) == 2
    assert "has no checksums: name a run folder" in capsys.readouterr().err


def test_options_of_another_action_are_refused():
    with pytest.raises(InputError, match="list takes no --dry-run"):
        inventory.report("list", dry_run=True)
    with pytest.raises(InputError, match="prune takes no path"):
        inventory.report("prune", "here")


USELESS = {
    "cell of other code": lambda home: edit(one(home, "cells/*/*.json"), method="old"),
    "cell of other versions": lambda home: edit(one(home, "cells/*/*.json"), versions={}),
    "broken cell": lambda home: one(home, "cells/*/*.json").write_text("{"),
    "model of other code": lambda home: edit(one(home, "models/*/checksums.json"), method="old"),
    "model of another language": lambda home: edit(one(home, "models/*/checksums.json"), data="x"),
    "model of another scale": lambda home: edit(
        one(home, "models/*/checksums.json"), scale={"name": "XS"}
    ),
    "model without a list": lambda home: one(home, "models/*/checksums.json").unlink(),
    "broken run": lambda home: one(home, "runs/*/manifest.json").write_text("{"),
    "run of no profile": lambda home: one(home, "runs/*").rename(
        home / "runs" / "gone-0123456789abcdef"
    ),
    "chapter of no profile": lambda home: store.write_atomic(
        home / "chapters" / "gone" / "0123456789abcdef-01_one_pair" / "01_one_pair.ipynb", "{}"
    ),
    "chapter that is gone": lambda home: store.write_atomic(
        home / "chapters" / "smoke" / "0123456789abcdef-77_gone" / "77_gone.ipynb", "{}"
    ),
}


@pytest.mark.parametrize("what", USELESS)
def test_what_nothing_can_use_is_pruned_and_nothing_else(what, home, capsys):
    USELESS[what](home)
    before = files(home)
    assert cli.main(["store", "prune", "--dry-run"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert (len(planned), files(home)) == (2, before)
    assert planned[0].endswith("would be removed")
    path = Path(planned[0].split(": ")[0])
    assert path.is_relative_to(home)
    assert cli.main(["store", "prune"]) == 0
    assert capsys.readouterr().out == (
        "\n".join(planned).replace("would be removed", "removed") + "\n"
    )
    assert not path.exists()
    inside = {name for name in before if (home / name).is_relative_to(path)}
    assert files(home) == {name: at for name, at in before.items() if name not in inside}
    assert inside


def test_inputs_go_when_no_result_is_of_them(home):
    for path in home.glob("cells/*/*.json"):
        path.unlink()
    (found,) = inventory.prune()
    assert found[0].kind == "inputs"
    assert "not a day old" in found[1]  # a sweep may just have begun
    os.utime(found[0].path, (LONG_AGO, LONG_AGO))
    assert [fate for _, fate, _ in inventory.prune()] == ["removed"]
    assert not found[0].path.exists()


def test_leftovers_of_a_crash_go_when_they_are_old(home):
    cell = one(home, "cells/*/*.json")
    left = [cell.parent / f".{cell.name}.abcd_123", home / "runs" / ".smoke-x.abcd1234" / "old",
            one(home, "models/*") / ".step-000006.abcd1234" / "config.json"]  # fmt: skip
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("torn")
    assert {fate.split(",")[0] for _, fate, _ in inventory.prune()} == {"stays"}
    for path in left:
        for part in (path, path.parent):
            os.utime(part, (LONG_AGO, LONG_AGO))
    assert [fate for _, fate, _ in inventory.prune()] == ["removed"] * 3
    assert not any(path.exists() for path in left)
    assert not inventory.verify()[1]


def test_what_is_not_ours_stays(home):
    mine = ["thesis.tex", "cells/notes.txt", "runs/mine/data.csv", "models/bert/config.json",
            ".git/config", "inputs/pairs.json", "chapters/mine.ipynb", "backup/a.json"]  # fmt: skip
    edit(one(home, "models/*/checksums.json"), method="old")  # all of it could be removed …
    model = one(home, "models/XS*")
    mine.append(f"{model.relative_to(home)}/notes.txt")  # … were it not for this
    for name in mine:
        store.write_atomic(home / name, "mine")
        os.utime(home / name, (LONG_AGO, LONG_AGO))
    before = files(home)
    ((entry, fate, _),) = inventory.prune()
    assert (entry.path, fate) == (model, "stays, for notes.txt in it is not ours")
    assert files(home) == before


def test_what_another_process_is_at_work_on_stays(home):
    edit(one(home, "models/*/checksums.json"), method="old")
    with store.locked(one(home, "models/*").name):
        ((_, fate, _),) = inventory.prune()
    assert fate == "stays, for another process is at work on it"
    assert [fate for _, fate, _ in inventory.prune()] == ["removed"]


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_a_store_that_is_not_there(action, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "none"))
    assert cli.main(["store", action]) == 0
    assert f"there is no store yet: {tmp_path / 'none'}" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
