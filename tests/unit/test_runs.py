"""Profiles are checked at once; a sweep computes what is missing, nothing else, the same anyhow."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from taskspace_utils import (
    cells,
    ftgd,
    pretraining,
    probes,
    profiles,
    runs,
    sample_size,
    scales,
    scoring,
    spaces,
    store,
)
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run

from . import toys

TASKS = ("agreement_simple", "reflexive_number")


@pytest.fixture(scope="module")
def profile() -> runs.Profile:
    small = {"tasks": TASKS, "pairs_per_task": 8, "sentences": 200, "steps": 6}
    small |= {"probe_at": (0, 6), "transfer_at": (6,), "chapters": {}}
    return replace(runs.load_profile("smoke"), name="tiny", **small)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def _own_store(home, monkeypatch) -> None:
    monkeypatch.setenv("TASKSPACES_STORE", str(home / "store"))


@pytest.fixture(scope="module")
def swept(profile, home) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(home / "store"))
        return runs.sweep(profile, workers=1)


def tables(run: Run) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in run.folder.iterdir() if p.name != "manifest.json"}


# ----------------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize(
    "name",
    ["smoke", "laptop", "learnable", "reference", "couples", "prediction", "blimp", "paper",
     "rehearsal"],
)  # fmt: skip
def test_the_profiles_that_are_shipped_are_sound(name):
    profile = runs.load_profile(name)
    assert profile.name == name
    assert all(scales.load_scale(scale) for scale in profile.scales)
    assert set(profile.transfer_at) <= {0, *profile.probe_at, profile.steps}


def test_reference_and_laptop_share_their_cells():
    laptop, reference = runs.load_profile("laptop"), runs.load_profile("reference")
    one, other = vars(laptop), vars(reference)
    grown = {"name", "seeds", "steps", "probe_at", "chapters"}
    assert {k: v for k, v in one.items() if k not in grown} == {
        k: v for k, v in other.items() if k not in grown
    }
    assert all(set(one[name]) <= set(other[name]) for name in ("seeds", "probe_at"))
    assert {laptop.steps, *laptop.transfer_at} <= {*reference.probe_at}


def test_couples_are_the_references_models_and_pairs_on_other_sides():
    couples, reference = runs.load_profile("couples"), runs.load_profile("reference")
    same = replace(couples, name="reference", couples=False, tunings=reference.tunings)
    assert same == reference
    assert couples.tunings == reference.tunings[:1]
    assert runs.training_folder(couples, "S", 1) == runs.training_folder(reference, "S", 1)
    pairs, bare = runs.task_pairs(couples), runs.task_pairs(reference)
    words = ["task", "pair_id", "good", "bad"]
    assert len(pairs.merge(bare[words])) == len(pairs) > 0.99 * len(bare)
    assert pairs.groupby(["task", "item"])["split"].nunique().max() == 1
    assert bare.groupby(["task", "item"]).size().max() == 1
    balance = pairs.groupby(["task", "split"]).size().unstack()
    assert (balance["train"] == balance["eval"]).all()
    opposites = sample_size.couples(bare)
    torn = bare.assign(couple=opposites)[opposites != ""].groupby("couple")["split"].nunique()
    assert (torn == 2).mean() > 0.4  # by chance half of them
    kept = pairs[pairs["item"].isin(opposites)].groupby("item").size()
    assert set(kept) == {2}


def test_profiles_and_tunings_know_the_same_losses():
    assert profiles.LOSSES == ftgd.LOSSES
    default = ftgd.Config()
    assert (default.loss, default.k, default.target) == (profiles.LOSSES[0], 0.01, 3)


def test_unknown_profiles_are_named_with_those_there_are():
    with pytest.raises(InputError, match=r"no profile named 'larptop'; there are .*laptop"):
        runs.load_profile("larptop")
    for name in ("../profiles/smoke", str(store.data_path("profiles", "smoke")), ""):
        with pytest.raises(InputError, match="no profile named"):
            runs.load_profile(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, r"unknown setting 'stepz'"),
        ({"couples": 1}, r"couples must be true or false, not 1"),
        ({"couples": True, "language": "text"}, r"couples must be false"),
        ({"steps": None}, r"steps must be a whole number"),
        ({"steps": "many"}, r"steps must be a whole number, not 'many'"),
        ({"steps": True}, r"steps must be a whole number"),
        ({"steps": 0}, r"steps must be at least 1"),
        ({"pairs_per_task": 2}, r"pairs_per_task at least 4"),
        ({"lexicon": "none"}, r"lexicon must be shared or disjoint, not 'none'"),
        ({"language": "text", "lexicon": "disjoint"}, r"real text has no lexicon to divide"),
        ({"language": "text", "without": ["x"]}, r"real text has no constructions to leave out"),
        ({"without": "agreement_pp"}, r"without must be a list"),
        ({"language": "latin"}, r"language must be grammar or text, not 'latin'"),
        ({"probe_at": [0, 61]}, r"step 61 is outside the training of 60"),
        ({"transfer_at": 60}, r"transfer_at must be a list"),
        ({"tasks": "agreement_simple"}, r"tasks must be a list"),
        ({"scales": "XS"}, r"scales must be a list"),
        ({"scales": []}, r"scales and seeds"),
        ({"seeds": ["0"]}, r"seeds must be a list, each of it a int"),
        ({"tunings": [{"k": 0.1, "rate": 3}]}, r"unknown setting"),
        ({"tunings": [{"k": 0}]}, r"k must be a number above 0"),
        ({"tunings": [{"k": "all"}]}, r"smoke\.yml"),
        ({"tunings": [{"target": 0.05}]}, r"target above 0\.1"),
        ({"tunings": [{"k": True}]}, r"k must be a number above 0"),
        ({"tunings": [{"delta": float("nan")}]}, r"delta must be a number above 0"),
        ({"tunings": [{"delta": -1}]}, r"delta must be a number above 0"),
        ({"tunings": [{"max_steps": "many"}]}, r"max_steps must be a whole number above 0"),
        ({"tunings": [{"max_steps": 1.5}]}, r"max_steps must be a whole number above 0"),
        ({"tunings": [{"max_displacement": "far"}]}, r"max_displacement must be a number"),
        ({"tunings": [{}, {"loss": "differential"}]}, r"tell them apart"),
        ({"tunings": [{}, {"k": 0.01, "target": 3}]}, r"tell them apart"),
        ({"sentences": 0}, r"sentences is 0; the grammar's corpus needs 10"),
        ({"seeds": [0, 0]}, r"seeds must name each one once"),
        ({"scales": ["XS", "XS"]}, r"scales must name each one once"),
        ({"tasks": ["agreement_simple"] * 2}, r"tasks must name each one once"),
        ({"seeds": [-1]}, r"seeds must be from 0"),
        ({"seeds": [10**30]}, r"seeds must be from 0"),
        ({"chapters": [1]}, r"chapters must be a mapping"),
        ({"chapters": {"01_one_pair": 3}}, r"chapters must be a mapping"),
        ({"tunings": [{"loss": "dpo"}]}, r"loss must be"),
        ({"tunings": [{"k": 1.0}, {"k": 1.0, "delta": 0.1}]}, r"tell them apart"),
    ],
)
def test_wrong_settings_are_errors_before_anything_runs(change, message, tmp_path, monkeypatch):
    given = yaml.safe_load(store.data_path("profiles", "smoke.yml").read_text())
    path = store.write_atomic(tmp_path / "profiles" / "smoke.yml", yaml.safe_dump(given | change))
    monkeypatch.setattr(store, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(InputError, match=message) as caught:
        runs.load_profile("smoke")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("steps: 3\n", "missing setting: language, tasks"),
     ("just words\n", "should hold a YAML dict"), ("", "should hold a YAML dict"),
     ("a: [1\n", "cannot be read as a YAML file"), ("steps: 3\nsteps: 4\n", "'steps' stands twice"),
     ("steps: 2001-99-99\n", "cannot be read as a YAML file"),
     ("[" * 3000, "cannot be read as a YAML file")],
)  # fmt: skip
def test_files_that_are_no_profile_are_refused(text, message, tmp_path, monkeypatch):
    store.write_atomic(tmp_path / "profiles" / "mine.yml", text)
    monkeypatch.setattr(store, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(InputError, match=message):
        runs.load_profile("mine")


def test_a_construction_left_out_is_no_part_of_the_corpus(profile):
    from taskspace_utils import load_grammar

    assert profiles.sweep_key(replace(profile, without=())) == profiles.sweep_key(profile)
    profile = replace(profile, sentences=20_000)
    lesser = replace(profile, without=("agreement_simple",))
    assert profiles.sweep_key(lesser) != profiles.sweep_key(profile)
    whole, without = runs.corpus(profile), runs.corpus(lesser)
    assert len(whole.train) == len(without.train)
    assert whole.words == without.words
    some = load_grammar().pairs(300, 5, ["agreement_simple"])
    of_it = {*some["good"]}
    assert of_it & {*whole.train}
    assert not of_it & {*without.train}
    with pytest.raises(InputError, match="no such construction"):
        runs.corpus(replace(profile, without=("agreement_sample",)))


# ------------------------------------------------------------------------------------ what it holds


def test_no_pair_is_in_the_corpus(profile):
    pairs, corpus = runs.task_pairs(profile), runs.corpus(profile)
    held_out = {line for lines in corpus.held_out.values() for line in lines}
    shown = {*pairs["good"], *pairs["bad"]}
    assert not shown & set(corpus.train)
    assert not shown & held_out
    assert not set(corpus.train) & held_out
    assert set(pairs["task"]) == set(TASKS)
    assert pairs.groupby(["task", "split"]).size().unique().tolist() == [4]


def test_disjoint_lexicons_share_no_content_word(profile):
    pairs = runs.task_pairs(replace(profile, name="disjoint", lexicon="disjoint"))
    assert pairs.groupby(["task", "split"]).size().unique().tolist() == [4]
    words = {
        split: {w for s in (*some["good"], *some["bad"]) for w in s.split()}
        for split, some in pairs.groupby("split")
    }
    shared = words["train"] & words["eval"]
    assert shared <= {"the", ".", "herself", "himself", "themselves"}  # rules need these
    assert len(words["train"]) > 2 * len(shared)


def test_a_sweep_holds_every_cell_of_its_grid(profile, swept):
    transfer = swept.table("transfer")
    assert len(transfer) == len(profile.tunings) * len(TASKS) ** 2
    gradient = swept.table("gradient")
    assert gradient.groupby("step").size().to_dict() == {0: 4, 6: 4}
    assert swept.table("accuracy").groupby("step").size().to_dict() == {0: 2, 6: 2}
    assert swept.table("training")["step"].tolist() == [0, 0, 6, 6]
    harm = swept.table("harm").groupby("text").size().to_dict()
    assert harm == dict.fromkeys(("held-out", runs.OTHER_TEXT), len(profile.tunings) * len(TASKS))
    assert set(swept.table("configs")["tuning"]) == set(transfer["tuning"])
    assert swept.manifest["tasks"] == sorted(TASKS)
    assert swept.manifest["method"] == store.method_version()
    assert not any(str(Path.home()) in str(v) for v in swept.manifest.values())
    keys = transfer[["model", "scale", "seed", "step"]].drop_duplicates().to_dict("records")
    assert keys == [{"model": "XS-seed0", "scale": "XS", "seed": 0, "step": 6}]


def test_the_numbers_of_a_sweep_are_those_of_its_checkpoint(profile, swept):
    lm = runs.checkpoint(profile, "XS", 6)
    pairs = runs.task_pairs(profile)
    accuracy = swept.table("accuracy").query("step == 6").set_index("task")
    for task, some in pairs.groupby("task"):
        margin = toys.slow_margins(lm, some)
        assert accuracy.loc[task, "margin"] == pytest.approx(margin.mean(), abs=1e-4)
        held = some["split"] == "eval"
        before = swept.table("transfer").query("target == @task")["margin_before"]
        np.testing.assert_allclose(before, margin[held.to_numpy()].mean(), atol=1e-4)
    loss = scoring.text_loss(lm.model, lm.encode(runs.corpus(profile).held_out["held-out"]))
    log = swept.table("training").query("text == 'held-out'")
    assert log["loss"].iloc[-1] == pytest.approx(loss, abs=1e-4)
    space = spaces.square(swept.table("gradient").query("step == 6"), "cosine")
    np.testing.assert_allclose(space, space.T)


def test_checkpoints_that_are_not_of_the_grid_are_named(profile, swept):
    with pytest.raises(InputError, match="no checkpoint at step 5; there are 0, 6"):
        runs.checkpoint(profile, "XS", 5)
    with pytest.raises(InputError, match="profile tiny has scales"):
        runs.checkpoint(profile, "L", 6)
    with pytest.raises(InputError, match="not 'XS' with seed 3"):
        runs.checkpoint(profile, "XS", 6, seed=3)


# --------------------------------------------------------------------------- what is not done again


@pytest.fixture
def computed(monkeypatch) -> list:
    """The cells that are computed, not read."""
    real, done = cells._compute, []

    def watched(cell, pairs, text):
        done.append((cell.kind, cell.task))
        return real(cell, pairs, text)

    monkeypatch.setattr(cells, "_compute", watched)
    return done


def cell_files(home: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in (home / "store" / "cells").rglob("*.json")}


def test_a_second_sweep_computes_nothing(profile, swept, home, computed):
    before = cell_files(home)
    again = runs.sweep(profile, workers=1)  # the same folder
    elsewhere = runs.sweep(profile, home / "elsewhere", workers=1)  # another one
    assert computed == []
    assert cell_files(home) == before
    assert tables(again) == tables(elsewhere) == tables(swept)


def cell_of(home: Path, kind: str) -> tuple[Path, dict]:
    """A cell of a kind in the store, and what it says it is about."""
    for path in cell_files(home):
        about = json.loads(path.read_text())["about"]
        if about["kind"] == kind:
            return path, about
    raise AssertionError(kind)


SPOILT = {
    "gone": lambda path, other: path.unlink(),
    "torn": lambda path, other: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path, other: path.write_bytes(b""),
    "no text": lambda path, other: path.write_bytes(b"\xff\xfe\x00"),
    "another layout": lambda path, other: path.write_text('{"transfer": []}'),
    "a digit": lambda path, other: path.write_text(path.read_text().replace("0.", "1.", 1)),
    "another cell's": lambda path, other: path.write_bytes(other.read_bytes()),
}


@pytest.mark.parametrize("how", SPOILT)
def test_one_cell_that_is_lost_or_broken_is_computed_alone(
    how, profile, swept, home, computed, capsys
):
    before = cell_files(home)
    spoilt, about = cell_of(home, "transfer")
    SPOILT[how](spoilt, cell_of(home, "accuracy")[0])
    run = runs.sweep(profile, home / f"mended {how}", workers=1)
    said = [line for line in capsys.readouterr().err.splitlines() if spoilt.name in line]
    assert len(said) == (how != "gone")
    assert all(line.endswith("it is made again") for line in said)
    assert computed == [("transfer", about["task"])]
    assert {p: t for p, t in cell_files(home).items() if p != spoilt} == {
        p: t for p, t in before.items() if p != spoilt
    }
    assert tables(run) == tables(swept)


def test_a_cell_says_what_it_is_of(profile, swept, home):
    path, about = cell_of(home, "transfer")
    assert about["task"] in TASKS
    assert about["tuning"] in [dict(t) for t in profile.tunings]
    assert (about["model"]["name"], about["model"]["step"]) == ("XS-seed0", 6)
    assert about["method"] == store.method_version()
    assert about["versions"] == store.versions()
    assert path.stem == store.key_of(about)
    assert str(home) not in path.read_text()
    assert "ladder" not in about


def test_the_inputs_of_a_cell_are_plain_json(profile, swept, home):
    about = cell_of(home, "gradient")[1]
    record = json.loads((home / "store" / "inputs" / f"{about['inputs']}.json").read_text())
    pairs, texts = runs.task_pairs(profile), runs.corpus(profile).neutral()
    assert record["about"]["pairs"] == swept.manifest["pairs"]
    shown = pd.DataFrame(record["content"]["rows"], columns=record["content"]["columns"])
    pd.testing.assert_frame_equal(shown, pairs)
    assert {name: tuple(lines) for name, lines in record["content"]["texts"].items()} == texts
    job = cells.cell_jobs([cells.Cell("accuracy", cells.Source("m"))], pairs, texts)[0]
    assert len(pickle.dumps(job)) < 1000


def test_other_pairs_texts_weights_or_code_are_another_cell(profile, swept, home, monkeypatch):
    folder = shutil.copytree(
        next((home / "store" / "models").glob("XS-*/step-000006")), home / "a copy"
    )
    pairs, texts = runs.task_pairs(profile), runs.corpus(profile).neutral()
    cell = cells.Cell("transfer", cells.Source(str(folder)), TASKS[0], (("k", 0.5),))

    def key(cell=cell, pairs=pairs, texts=texts) -> str:
        return store.key_of(cells.about_cell(cell, cells.keep_inputs(pairs, texts)))

    keys = [key()]
    moved = replace(cell, source=cells.Source(str(shutil.copytree(folder, home / "elsewhere 2"))))
    assert key(moved) == keys[0]  # where a model lies is no part of what it is
    changed = pairs.copy()
    changed.loc[0, "good"] += " ."
    keys += [key(pairs=changed), key(texts={n: t[1:] for n, t in texts.items()})]
    keys += [key(replace(cell, task=TASKS[1])), key(replace(cell, tuning=(("k", 0.1),)))]
    keys += [key(replace(cell, kind="gradient")), key(replace(cell, k=0.5))]
    keys.append(key(replace(cell, source=replace(cell.source, bos="none"))))
    with monkeypatch.context() as patch:
        patch.setattr(store, "method_version", lambda: "other")
        keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr(store, "versions", lambda: {"torch": "1"})
        keys.append(key())
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    keys.append(key())  # and the process has not kept the old hash
    assert len(set(keys)) == len(keys)


# ------------------------------------------------------------------- checkpoints that were broken


@pytest.fixture
def trained(profile, swept, home, monkeypatch) -> Path:
    """The folder of the sweep's training, in a copy of its store."""
    copy = home / f"copy-{os.urandom(4).hex()}"
    shutil.copytree(home / "store", copy)
    monkeypatch.setenv("TASKSPACES_STORE", str(copy))
    return next((copy / "models").iterdir())


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in ("checksums.json", "taskspaces.json", "training.json")
    }


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("a bit", "step-000006/model.safetensors"), ("gone", "step-000006/model.safetensors"),
        ("a bit", "step-000006/tokenizer.json"), ("gone", "step-000000/config.json"),
        ("a bit", "training.csv"), ("gone", "training.csv"),
        ("a bit", "training.json"), ("gone", "training.json"), ("a bit", "checksums.json"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_was_broken_is_trained_again(how, name, profile, trained, capsys):
    before, path = files_of(trained), trained / name
    flip(path) if how == "a bit" else path.unlink()
    lm = runs.checkpoint(profile, "XS", 6 if name != "step-000000/config.json" else 0)
    runs._train(profile, "XS", 0)  # as a sweep does it: all of the training is looked at
    said = [line for line in capsys.readouterr().err.splitlines() if "made again" in line]
    assert len(said) == 1
    assert name in said[0]
    assert files_of(trained) == before
    assert lm.name == "XS-seed0"
    capsys.readouterr()
    runs._train(profile, "XS", 0)
    assert capsys.readouterr().err == ""


def test_checkpoints_are_noted_as_soon_as_they_are_written(profile, trained, monkeypatch):
    """A training that is broken off leaves checkpoints that can be told to be whole."""
    shutil.rmtree(trained)
    real, done = pretraining._training_step, []

    def breaks(*arguments):
        done.append(arguments)
        if len(done) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(pretraining, "_training_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        runs.checkpoint(profile, "XS", 6)
    record = json.loads((trained / "checksums.json").read_text())
    assert "step-000000/model.safetensors" in record["content"]
    assert record["about"]["method"] == store.method_version()


def test_what_a_crash_leaves_of_a_training_does_not_confuse(profile, trained):
    before = files_of(trained)
    (trained / "training.csv").unlink()  # it is written last
    (trained / "state").mkdir()
    (trained / "state" / "state.safetensors").write_bytes(b"torn")
    (trained / "state" / "state.json").write_text('{"step": 6}')
    (trained / ".step-000006.abcd1234").mkdir()
    (trained / ".training.json.abcd1234").write_text("{")
    runs._train(profile, "XS", 0)
    assert files_of(trained) == before
    shutil.rmtree(trained)  # and of one that had hardly begun
    trained.mkdir()
    (trained / ".training.json.abcd1234").write_text("{")
    runs._train(profile, "XS", 0)
    assert files_of(trained) == before


@pytest.mark.parametrize("name", ["accuracy.csv", "transfer.csv", "manifest.json"])
def test_a_run_folder_that_was_broken_is_put_together_again(
    name, profile, swept, trained, computed, capsys
):
    run = runs.sweep(profile, workers=1)
    (run.folder / name).write_text((run.folder / name).read_text()[:-30])
    again = runs.sweep(profile, workers=1)
    assert capsys.readouterr().err.count("the run folder is put together again") == 1
    assert tables(again) == tables(swept)
    assert computed == []


def test_a_sweep_that_broke_off_goes_on(profile, swept, home, monkeypatch):
    """The second half of the cells fails at first; what was finished is kept."""
    monkeypatch.setenv("TASKSPACES_STORE", str(home / "broken"))
    shutil.copytree(home / "store" / "models", home / "broken" / "models")
    real, done = cells._compute, []

    def breaks(cell, pairs, text):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(cell)
        return real(cell, pairs, text)

    with monkeypatch.context() as patch:
        patch.setattr(cells, "_compute", breaks)
        with pytest.raises(KeyboardInterrupt):
            runs.sweep(profile, workers=1)
    assert not list((home / "broken").glob("runs/*/manifest.json"))
    again = []
    monkeypatch.setattr(cells, "_compute", lambda c, *a: (again.append(c), real(c, *a))[1])
    run = runs.sweep(profile, workers=1)
    assert not set(again) & set(done)
    assert tables(run) == tables(swept)


def test_one_process_or_two_give_the_same_bytes(profile, swept, home, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(home / "two"))
    run = runs.sweep(profile, workers=2)
    assert tables(run) == tables(swept)


@pytest.mark.parametrize(
    "change",
    [
        {"pair_seed": 1},
        {"tunings": ({"k": 0.5},)},
        {"seeds": (1,)},
        {"steps": 7},
        {"tasks": TASKS[:1]},
    ],
)
def test_other_settings_are_another_sweep(change, profile):
    assert profiles.sweep_key(replace(profile, **change)) != profiles.sweep_key(profile)
    assert profiles.sweep_key(replace(profile, name="other", chapters={"05_ftgd": {}})) == (
        profiles.sweep_key(profile)
    )


def test_a_wrong_folder_is_refused_before_any_work(profile, tmp_path, computed):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not ours"):
        runs.sweep(profile, tmp_path, workers=1)
    assert computed == []
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


# ------------------------------------------------------------------------------------------ probing


def test_a_probe_of_a_folder_is_a_run_folder_of_the_same_shape(profile, swept, home):
    lm = runs.checkpoint(profile, "XS", 6)
    folder = next((home / "store" / "models").glob("XS-*/step-000006"))
    tunings = list(profile.tunings)
    texts = runs.corpus(profile).neutral()
    run = probes.probe(
        cells.Source(str(folder)), runs.task_pairs(profile), home / "probe", tunings=tunings,
        texts=texts, workers=1,
    )  # fmt: skip
    assert run.manifest["model"] == lm.name == "XS-seed0"
    assert run.manifest["bos"] == "bos"
    for name in ("transfer", "tuning", "harm"):
        pd.testing.assert_frame_equal(run.table(name), swept.table(name))
    step = swept.table("gradient").query("step == 6").reset_index(drop=True)
    pd.testing.assert_frame_equal(run.table("gradient"), step)


def test_a_plan_runs_nothing(profile, swept, home, computed):
    folder = next((home / "store" / "models").glob("XS-*/step-000006"))
    text = cells.plan(cells.Source(str(folder)), runs.task_pairs(profile), cells.METHODS, 2)
    for part in ("million parameters", "BOS policy bos", "minutes", "memory", "<bos>"):
        assert part in text
    assert computed == []


def test_a_plan_counts_what_placements_cost(profile, swept, home, monkeypatch):
    """Placing takes at least all gradients once more; with a clock that ticks an hour a look."""
    ticks = itertools.count(0, 3600)
    monkeypatch.setattr(cells.time, "perf_counter", lambda: next(ticks))
    folder = next((home / "store" / "models").glob("XS-*/step-000006"))
    source, pairs = cells.Source(str(folder)), runs.task_pairs(profile)

    def numbers(own: int, methods=("gradient",)) -> tuple[float, float]:
        text = cells.plan(source, pairs, methods, 1, workers=1, own=own)
        assert ("placed" in text) == (own > 0 and "gradient" in methods)
        found = re.search(r"about (\d+) with.*; (\S+) GB more", text, re.DOTALL)
        return float(found[1]), float(found[2])

    none, few, more = map(numbers, (0, 1, 3))
    assert few[0] >= none[0] * 7 / 4  # one pass to score, three a gradient, these three again
    assert more[0] > few[0]
    size = sum(p.numel() for p in cells.loaded(source).model.parameters())
    blocks_of = 12 * size * 4 / 1e9  # of one task
    assert few[1] - none[1] == pytest.approx(2 * blocks_of, rel=0.25)
    assert more[1] - none[1] == pytest.approx(4 * blocks_of, rel=0.25)
    assert numbers(3, ("transfer",)) == numbers(0, ("transfer",))


# ---------------------------------------------------------------------------------------- real text


@pytest.fixture
def made_up(tmp_path, monkeypatch) -> Path:
    """A folder such as TASKSPACES_DATA names, with a text and two tasks, and a scale for it."""
    rng = random.Random(0)
    words = toys.WORDS.split()
    lines = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(300)]
    folder = tmp_path / "data"
    store.write_atomic(folder / "corpus" / "train-child-00.txt", "\n".join(lines[:200]))
    store.write_atomic(folder / "corpus" / "valid-child-00.txt", "\n".join(lines[200:260]))
    store.write_atomic(folder / "corpus" / "test-child-00.txt", "\n".join(lines[260:]))
    for task in ("agree", "plural"):
        nouns = ("cat", "dog") if task == "agree" else ("cats", "dogs")
        subjects = [f"the {'old ' * i}{noun}" for noun in nouns for i in range(4)]
        rows = [
            {"sentence_good": f"{s} sleeps .", "sentence_bad": f"{s} sleep .", "UID": task,
             "pairID": s, "linguistics_term": task, "field": "syntax"}
            for s in subjects
        ]  # fmt: skip
        text = "".join(json.dumps(row) + "\n" for row in rows)
        store.write_atomic(folder / "blimp" / "data" / f"{task}.jsonl", text)
    monkeypatch.setenv("TASKSPACES_DATA", str(folder))
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    scale = replace(toys.BPE_SCALE, context=32)
    monkeypatch.setattr(scales, "load_scale", lambda name: scale)
    return folder


def test_a_profile_of_real_text(made_up, profile):
    text = replace(
        profile, name="text", language="text", tasks=(), scales=("toy-bpe",), steps=4,
        probe_at=(4,), transfer_at=(),
    )  # fmt: skip
    run = runs.sweep(text, workers=1)
    assert run.table("accuracy")["task"].unique().tolist() == ["agree", "plural"]
    assert set(run.table("training")["text"]) == {"child"}
    assert not run.has("transfer")
    # another text in the same folder is another sweep
    key = profiles.sweep_key(text)
    path = made_up / "corpus" / "train-child-00.txt"
    path.write_text(path.read_text() + "\na cat .\n")
    assert profiles.sweep_key(text) != key
    with pytest.raises(InputError, match="no task binding among the pairs"):
        runs.task_pairs(replace(text, tasks=("agree", "binding")))


@pytest.mark.parametrize("value", [None, "/no/such/folder"])
def test_real_text_that_is_not_there_is_an_error_with_a_remedy(value, profile, monkeypatch):
    if value is None:
        monkeypatch.delenv("TASKSPACES_DATA", raising=False)
    else:
        monkeypatch.setenv("TASKSPACES_DATA", value)
    assert profiles.data_folder("corpus") is None
    with pytest.raises(InputError, match=r"TASKSPACES_DATA names \(now .*\); see README"):
        runs.sweep(replace(profile, name="absent", language="text"))


def test_a_longer_training_in_the_same_folder_changes_no_table(profile, home, swept, trained):
    longer = replace(profile, steps=8, probe_at=(0, 8), transfer_at=())
    assert runs.training_folder(longer, "XS", 0) == trained
    runs.sweep(longer, home / "longer", workers=1)
    again = runs.sweep(profile, home / "again", workers=1)
    assert tables(again) == tables(swept)


def test_from_a_run_one_comes_to_its_cells(profile, swept):
    files = runs.cell_files(profile)
    assert files["stored"].all()
    assert not files["file"].duplicated().any()
    rows = swept.table("gradient")
    [one] = files.query("kind == 'gradient' and step == 6")["file"]
    content = json.loads(store.store_path(one).read_text())["content"]
    known = rows[rows["step"] == 6].set_index(["a", "b"])["cosine"]
    for row in content["gradient"]:
        assert known[row["a"], row["b"]] == pytest.approx(row["cosine"], rel=1e-8)
