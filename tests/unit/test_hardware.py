"""Devices and precisions: named, checked, part of every key, and the same numbers on all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import (
    cells,
    cli,
    context,
    ftgd,
    gradients,
    models,
    probing,
    runs,
    scoring,
    store,
)
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run

from . import toys

# What another order of adding changes: of log-probabilities and margins, nats; of cosines.
NATS, COSINE = 2e-4, 1e-4


@pytest.fixture(autouse=True)
def _asked_for_nothing(monkeypatch) -> None:
    for name in ("TASKSPACES_DEVICE", "TASKSPACES_PRECISION"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def folder(tmp_path):
    lm = toys.gpt2()
    lm.model.save_pretrained(tmp_path / "toy")
    lm.tokenizer.save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def pairs_file(tmp_path):
    rows = toys.english(8).rename(
        columns={"task": "UID", "good": "sentence_good", "bad": "sentence_bad", "pair_id": "pairID"}
    )
    rows.to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    return tmp_path / "pairs.jsonl"


def test_nothing_asked_is_the_processor_in_full_precision():
    assert models.chosen_hardware() == ("cpu", "fp32")


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setenv("TASKSPACES_DEVICE", "auto")
    assert models.chosen_hardware()[0] in ("cuda", "mps", "cpu")
    monkeypatch.setattr(torch.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert models.chosen_hardware()[0] == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert models.chosen_hardware()[0] == "cuda"


def test_what_is_not_there_is_named_with_what_is(monkeypatch, folder, pairs_file, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    where = ["--model", str(folder), "--pairs", str(pairs_file), "--out", str(tmp_path / "out")]
    assert cli.main(["score", *where, "--device", "cuda"]) == 2
    assert "device 'cuda': this machine has cpu" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("TASKSPACES_DEVICE", "tpu")
    with pytest.raises(InputError, match="device 'tpu'"):
        models.chosen_hardware()
    monkeypatch.setenv("TASKSPACES_DEVICE", "cpu")
    monkeypatch.setenv("TASKSPACES_PRECISION", "int8")
    with pytest.raises(InputError, match="precision 'int8': there are fp32 and bf16"):
        models.chosen_hardware()


def test_hardware_is_part_of_the_keys(monkeypatch, folder):
    cell, profile = cells.Cell("accuracy", cells.Source(str(folder))), runs.load_profile("smoke")

    def keys() -> tuple:
        trained = runs.training_folder(profile, "XS", 0).name
        return store.key_of(cells.about_cell(cell, "some")), runs.sweep_key(profile), trained

    full = keys()
    assert keys() == full
    monkeypatch.setenv("TASKSPACES_PRECISION", "bf16")
    assert not set(keys()) & set(full)


def test_a_probe_in_half_precision_gives_the_same_tables_within_tolerance(
    monkeypatch, folder, pairs_file, tmp_path
):
    options = ["--model", str(folder), "--pairs", str(pairs_file), "--pairs-per-task", "8"]
    options += ["--target", "1", "--workers", "1", "--no-report"]
    monkeypatch.setattr(context, "TRANSFER_PAIRS", 8)
    assert cli.main(["probe", *options, "--out", str(tmp_path / "full")]) == 0
    assert cli.main(["probe", *options, "--out", str(tmp_path / "half"), "--bf16"]) == 0
    full, half = Run(tmp_path / "full"), Run(tmp_path / "half")
    assert (full.manifest["precision"], half.manifest["precision"]) == ("fp32", "bf16")
    one, other = full.table("accuracy"), half.table("accuracy")
    assert one["accuracy"].equals(other["accuracy"])
    np.testing.assert_allclose(other["margin"], one["margin"], atol=0.1)
    one, other = full.table("gradient"), half.table("gradient")
    np.testing.assert_allclose(other["cosine"], one["cosine"], atol=0.02)
    assert not one["cosine"].equals(other["cosine"])
    moved = [
        (t["margin_after"] - t["margin_before"])[t["tuning"].str.contains("k1-")]
        for t in (full.table("transfer"), half.table("transfer"))
    ]
    np.testing.assert_allclose(moved[1], moved[0], atol=0.2)


@pytest.mark.gpu
def test_an_accelerator_gives_the_processors_numbers(folder):
    pairs = toys.english(8)
    here, there = (models.load_model(folder, device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(
        scoring.margins(there, pairs), scoring.margins(here, pairs), atol=NATS
    )
    one, other = (ftgd.loss_gradient(lm, pairs)[0].cpu().double() for lm in (here, there))
    assert float((one - other).norm() / one.norm()) < 1e-4
    spaces = [gradients.gradient_space(lm, pairs, k=0.05)[0] for lm in (here, there)]
    np.testing.assert_allclose(spaces[1]["cosine"], spaces[0]["cosine"], atol=COSINE)
    np.testing.assert_allclose(spaces[1]["overlap"], spaces[0]["overlap"], atol=0.02)
    config, weights = ftgd.Config(k=1.0, target=0.5, max_displacement=1), toys.state(here)
    texts = {"text": here.encode(["the old cat sees a dog .", "a dog ."])}
    rows = [probing.transfer_row(lm, pairs, "agree", config, texts) for lm in (here, there)]
    np.testing.assert_allclose(rows[1][0]["margin_after"], rows[0][0]["margin_after"], atol=0.01)
    np.testing.assert_allclose(rows[1][2]["harm_kl"], rows[0][2]["harm_kl"], rtol=0.05)
    assert {n: t.cpu().numpy().tobytes() for n, t in there.model.state_dict().items()} == weights


@pytest.mark.gpu
def test_a_sweep_on_an_accelerator_trains_and_probes_there(monkeypatch, tmp_path):
    monkeypatch.setenv("TASKSPACES_DEVICE", "cuda")
    run = runs.sweep("smoke", tmp_path / "run", workers=1)
    assert run.manifest["device"] == "cuda"
    accuracy: pd.DataFrame = run.table("accuracy")
    assert accuracy["accuracy"].between(0, 1).all()
