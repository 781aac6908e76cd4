"""Other architectures: trained as GPT-2 is, about as large, and stopped where they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from taskspace_utils import pretraining, store
from taskspace_utils.opening import load_model
from taskspace_utils.pretraining import Corpus
from taskspace_utils.scales import load_scale, new_model
from taskspace_utils.studies import architectures

XS = replace(load_scale("XS"), warmup=10, batch=8)
SENTENCES = [f"{who} {what} {where} ." for who in ("she", "he", "the cat", "a dog")
             for what in ("sleeps", "sees him", "runs", "sings and laughs")
             for where in ("here", "there", "now", "today", "at home")]  # fmt: skip
TEXT = Corpus([s for i, s in enumerate(SENTENCES) if i % 4], {"held-out": SENTENCES[::4]})


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))


def test_gpt2_is_trained_bit_for_bit_as_pretraining_trains_it(tmp_path):
    pretraining.pretrain(XS, TEXT, 20, 3, tmp_path / "theirs", progress=lambda text: None)
    vocabulary = len(architectures.tokenizer_of(XS, TEXT))
    model = architectures.built("gpt2", XS, vocabulary, 3)
    start = new_model(XS, vocabulary, 3).state_dict()
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items())
    log = architectures.learn(model, XS, TEXT, 3, XS.lr, 0.0, 20)
    theirs = load_file(tmp_path / "theirs/step-000020/model.safetensors")
    ours = model.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    assert list(log["step"]) == [0, 20]
    assert list(log["kept"]) == [False, True]


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_every_architecture_has_about_the_weights_of_gpt2(name):
    scale = load_scale("S")
    sizes = {n: sum(p.numel() for p in architectures.built(n, scale, 583, 0).parameters())
             for n in ("gpt2", name)}  # fmt: skip
    assert sizes[name] == pytest.approx(sizes["gpt2"], rel=0.1)


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_a_model_is_kept_with_its_card_and_not_trained_again(name, monkeypatch):
    asked = (name, XS, TEXT, 1, 1e-2, 2.0, 40)
    start, end = architectures.kept(*asked)
    losses = [pretraining.text_loss(
        load_model(place).model,
        pretraining.held_out_sequences(XS, load_model(place).tokenizer, TEXT)["held-out"],
    ) for place in (start, end)]  # fmt: skip
    assert losses[1] < losses[0] - 0.5
    lm = load_model(end)
    assert lm.keys == {"model": f"{name}-XS-seed1", "scale": "XS", "seed": 1,
                       "step": int(end.name[5:])}  # fmt: skip
    assert lm.model.config.model_type == name
    assert lm.model.get_output_embeddings().weight is lm.model.get_input_embeddings().weight
    monkeypatch.setattr(architectures, "learn", None)
    assert architectures.kept(*asked) == (start, end)


def test_a_training_stops_at_the_target_and_goes_back_to_the_nearer_look(monkeypatch):
    monkeypatch.setattr(architectures, "EVERY", 1)
    vocabulary = len(architectures.tokenizer_of(XS, TEXT))
    whole = architectures.built("gpt2", XS, vocabulary, 0)
    losses = architectures.learn(whole, XS, TEXT, 0, 1e-2, 0.0, 12)["loss"]
    assert losses.is_monotonic_decreasing
    for share, step in ((0.1, 8), (0.9, 7)):  # nearer to the look below, and to that above
        target = losses[8] + share * (losses[7] - losses[8])
        model = architectures.built("gpt2", XS, vocabulary, 0)
        log = architectures.learn(model, XS, TEXT, 0, 1e-2, target, 12)
        assert log["step"].max() == 8
        assert log.loc[log["kept"], "step"].item() == step
        text = pretraining.held_out_sequences(XS, architectures.tokenizer_of(XS, TEXT), TEXT)
        assert pretraining.text_loss(model, text["held-out"]) == log["loss"][step]


def test_a_search_is_kept(monkeypatch):
    asked = ("llama", XS, TEXT, 0, 1e-2, 6)
    found = architectures.searched(*asked)
    monkeypatch.setattr(architectures, "learn", None)
    assert architectures.searched(*asked) == found < 5


def test_an_unknown_architecture_is_refused():
    with pytest.raises(store.InputError, match=r"no architecture 'bert': .*llama"):
        architectures.kept("bert", XS, TEXT, 0, 1e-2, 2.0, 5)
