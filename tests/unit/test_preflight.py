"""What a sweep would lack is named before it begins; others' checkpoints are swept like our own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from taskspace_utils import cells, models, preflight, profiles, runs, scales, store
from taskspace_utils.cli import main
from taskspace_utils.store import InputError
from taskspace_utils.tables import TABLES

TASKS = ("agreement_simple", "reflexive_number")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("preflight")


@pytest.fixture(autouse=True)
def _own_store(home, monkeypatch) -> None:
    monkeypatch.setenv("TASKSPACES_STORE", str(home / "store"))


@pytest.fixture(scope="module")
def small() -> profiles.Profile:
    given = {"tasks": TASKS, "pairs_per_task": 8, "sentences": 200, "steps": 6, "ladder": {}}
    given |= {"probe_at": (0, 6), "transfer_at": (6,), "chapters": {}}
    return replace(runs.load_profile("smoke"), name="tiny", **given)


@pytest.fixture
def computed(monkeypatch) -> list:
    """What a sweep handed out to be done."""
    done = []
    monkeypatch.setattr(runs.jobs, "run", lambda work, **options: done.append(work))
    return done


# -------------------------------------------------------------------------------- what is lacking


def refused(profile, message: str, computed: list, **options) -> None:
    with pytest.raises(InputError, match=message):
        runs.sweep(profile, **options)
    assert computed == []
    assert not list(store.store_path().glob("runs/*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": ("XXL",)}, r"^scales: no scale named 'XXL': scales.yml has XS, S"),
        ({"tasks": (*TASKS, "agreement_sample")}, r"agreement_sample"),
        ({"without": ("agreement_sample",)}, r"agreement_sample"),
    ],
)
def test_what_is_not_there_is_named_before_a_sweep(change, message, small, computed):
    refused(replace(small, **change), message, computed)


def test_too_little_memory_names_scales_and_workers(small, computed, monkeypatch):
    monkeypatch.setattr(preflight, "memory", lambda: 0.8e9)
    refused(small, r"^scales and --workers: 9 processes with scale XS \(0\.1 million parameters\) "
            r"take about 3\.2 GB, and this machine has 0\.8 GB: take --workers 2",
            computed, workers=9)  # fmt: skip
    monkeypatch.setattr(preflight, "memory", lambda: 1e8)
    refused(small, "choose smaller scales", computed, workers=1)
    # nothing is known, the work is elsewhere, or its memory is an accelerator's
    monkeypatch.setattr(preflight, "memory", lambda: None)
    preflight.check(small, 2, 1)
    monkeypatch.setattr(preflight, "memory", lambda: 1.0)
    preflight.check(small, 2, 1, cluster=True)
    monkeypatch.setenv("TASKSPACES_DEVICE", "cuda")
    preflight.check(small, 2, 1)


def test_too_little_disk_names_scales_and_probe_at(small, computed, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10**6)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage)
    refused(small, r"^scales and probe_at: .* make room, or name another disk", computed, workers=1)


def test_the_machines_memory_is_known_here():
    assert 1e8 < preflight.memory() < 1e14


@pytest.mark.parametrize("scale", ["XS", "S", "8M"])
def test_a_scales_size_is_what_a_model_of_it_has(scale):
    row = scales.load_scale(scale)
    real = sum(p.numel() for p in scales.new_model(row, row.vocabulary, 0).parameters())
    assert preflight.parameters_of(scale) == pytest.approx(real, rel=0.03)


# ----------------------------------------------------------------------- models that others trained


@pytest.fixture(scope="module")
def suite(small, home) -> Path:
    """A suite of two seeds, as folders of checkpoints; they don't say what they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(home / "trainings"))
        for seed in (0, 1):
            model = replace(small, seeds=(seed,))
            runs.checkpoint(model, "XS", 6, seed)
            folder = runs.training_folder(model, "XS", seed)
            for step in (0, 6):
                there = home / "suite" / f"tiny-seed{seed}" / f"step{step}"
                shutil.copytree(folder / f"step-{step:06}", there)
                (there / models.CARD).unlink()
    return home / "suite"


def of_suite(small, suite: Path, **change) -> profiles.Profile:
    given = [
        {"id": str(suite / f"tiny-seed{seed}"), "revisions": ["step0", "step6"], "seed": seed,
         "scale": "tiny"}
        for seed in (0, 1)
    ]  # fmt: skip
    given = {"models": tuple(given), "scales": (), "seeds": (), "steps": 0} | change
    return replace(small, name="suite", **given)


def test_a_suite_is_swept_like_our_own_models(small, suite, home):
    profile = of_suite(small, suite)
    run = runs.sweep(profile, home / "of a suite", workers=1)
    own = runs.sweep(replace(small, seeds=(0, 1)), home / "own", workers=1)
    assert not run.has("training")
    for name in ("accuracy", "transfer", "gradient", "tuning", "tasks", "harm"):
        one, other = run.table(name), own.table(name)
        assert set(one["scale"]) == {"tiny"}
        if name == "harm":  # the neutral text depends on the corpus
            assert len(one) == len(other)
            continue
        keys = [key for key in TABLES[name][0] if key not in ("model", "scale")]
        sides = [some.drop(columns=["model", "scale"]).sort_values(keys) for some in (one, other)]
        pd.testing.assert_frame_equal(*(side.reset_index(drop=True) for side in sides))
    assert run.manifest["bos"] == "auto"
    again = runs.sweep(profile, home / "of a suite", workers=1)
    assert again.folder == run.folder
    assert profiles.sweep_key(profile) != profiles.sweep_key(of_suite(small, suite, pair_seed=1))


def test_a_hub_is_asked_by_id_and_revision(small, suite, home, monkeypatch):
    real, asked = models.load_model, []

    def hub(source, revision=None, *options):
        asked.append((source, revision))
        lm = real(suite / "tiny-seed0" / revision, None, *options)
        return replace(lm, name=f"{source}@{revision}")

    monkeypatch.setattr(models, "load_model", hub)
    monkeypatch.setattr(preflight, "reachable", lambda one: asked.append(one[:2]) or 1000)
    cells._loaded.cache_clear()
    named = ({"id": "someone/tiny", "revisions": ["step0", "step6"]},)
    run = runs.sweep(of_suite(small, suite, models=named), home / "hub", workers=1)
    assert set(asked) == {("someone/tiny", "step0"), ("someone/tiny", "step6")}
    rows = run.table("accuracy")[["model", "scale", "seed", "step"]].drop_duplicates()
    assert rows.to_numpy().tolist() == [
        ["someone/tiny@step0", "tiny", 0, 0], ["someone/tiny@step6", "tiny", 0, 6],
    ]  # fmt: skip
    assert set(run.table("transfer")["step"]) == {6}


def test_a_hub_out_of_reach_ends_a_sweep_before_it_begins(small, suite, computed):
    for name in ("someone/tiny", str(suite / "tiny-seed0"), "../nowhere"):
        named = ({"id": name, "revisions": ["step6", "step7", "step0"]},)
        profile = of_suite(small, suite, models=named, probe_at=(), transfer_at=())
        message = r"^models: .* at revision step[67] is not to be had: .*Mend its name, or"
        refused(profile, message, computed)


MODEL = {"id": "someone/tiny", "revisions": ["step0", "step6"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"models": [MODEL | {"revisions": ["main"]}]}, "no step in revision 'main'"),
        ({"models": [MODEL | {"revisions": "step6"}]}, "revisions must be a list"),
        ({"models": [MODEL | {"revisions": ["step6", "step6"]}]}, "each named once"),
        ({"models": [MODEL | {"revision": "step6"}]}, "must have id and revisions"),
        ({"models": [{"id": "someone/tiny"}]}, "must have id and revisions"),
        ({"models": [MODEL | {"id": 3}]}, "id and scale are names"),
        ({"models": [MODEL | {"seed": "0"}]}, "seed must be a whole number"),
        ({"models": [MODEL, MODEL]}, "same scale, seed and step: tiny, 0, 0; give each"),
        ({"models": ["someone/tiny"]}, "models must be a list, each of it a dict"),
        ({"scales": ["S"]}, "models stand in place of scales"),
        ({"steps": 5}, "models stand in place of scales"),
        ({"probe_at": [0, 5]}, "probe_at: no revision of models is of step 5"),
        ({"transfer_at": [60]}, "transfer_at: no revision of models is of step 60"),
        ({"tunings": [{"k": 0.1, "scales": ["S"]}]}, "the profile has no scale S"),
        ({"tunings": [{"k": 0.1, "scales": ["tiny"]}]}, None),
    ],
)
def test_a_profile_of_a_suite_is_checked(change, message, tmp_path, monkeypatch):
    given = yaml.safe_load(store.data_path("profiles", "smoke.yml").read_text())
    for name in ("scales", "seeds", "steps", "sentences", "corpus_seed", "ladder"):
        del given[name]
    given |= {"models": [MODEL], "probe_at": [0, 6], "transfer_at": [6]} | change
    store.write_atomic(tmp_path / "profiles" / "mine.yml", yaml.safe_dump(given))
    monkeypatch.setattr(store, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    if message:
        with pytest.raises(InputError, match=message):
            runs.load_profile("mine")
    else:
        profile = runs.load_profile("mine")
        assert [one[2:] for one in profile.suite()] == [("tiny", 0, 0), ("tiny", 0, 6)]


def test_the_example_of_a_suite_is_sound_and_needs_the_hub(monkeypatch, capsys, tmp_path):
    profile = runs.load_profile("pythia")
    assert {one.scale for one in profile.suite()} == {"pythia-14m"}
    assert {one.seed for one in profile.suite()} == {0, 1, 2}
    monkeypatch.setattr(runs, "sweep_key", lambda profile: "key")
    pairs = runs.task_pairs(replace(runs.load_profile("smoke"), chapters={}))
    monkeypatch.setattr(runs, "task_pairs", lambda profile: pairs)
    assert main(["sweep", "--profile", "pythia", "--out", str(tmp_path / "out")]) == 2
    assert "models: EleutherAI/pythia-14m at revision step0" in capsys.readouterr().err
