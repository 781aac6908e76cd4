"""A row of the transfer space against tuning a copy and evaluating one sentence at a time."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import ftgd, gradients, probing, scoring
from taskspace_utils.store import InputError

from . import toys

TEXT = ["the old cat sees a dog .", "a dog .", "the dogs and the cats sleep .", "a cat ."]


def test_a_row_is_evaluate_tune_a_copy_evaluate():
    lm, pairs = toys.gpt2(), toys.english(8)
    config = ftgd.Config(k=0.05, target=20.0, delta=3.0, max_displacement=10.0)
    text = lm.encode(TEXT)
    copied = copy.deepcopy(lm)
    train = pairs[(pairs["task"] == "agree") & (pairs["split"] == "train")]
    done = ftgd.tune(copied, train, config)
    held = pairs[pairs["split"] == "eval"].reset_index(drop=True)
    before, after = toys.slow_margins(lm, held), toys.slow_margins(copied, held)
    weights = toys.state(lm)

    row, summary, harm = probing.transfer_row(
        lm, pairs, "agree", config, {"one": text, "two": text}
    )

    assert toys.state(lm) == weights
    assert row["target"].tolist() == ["agree", "plural", "reflexive"]
    for target, found in row.set_index("target").iterrows():
        mine = (held["task"] == target).to_numpy()
        change = after[mine] - before[mine]
        assert found["margin_before"] == pytest.approx(before[mine].mean(), abs=1e-3)
        assert found["margin_after"] == pytest.approx(after[mine].mean(), abs=1e-3)
        error = np.sqrt(((change - change.mean()) ** 2).sum() / 3 / 4)  # four eval pairs
        assert found["margin_se"] == pytest.approx(error, abs=1e-3)
        assert found["accuracy_before"] == (before[mine] > 0).mean()
        assert found["accuracy_after"] == (after[mine] > 0).mean()
        assert found["n_eval"] == 4
    assert summary["own_gain"] == done.own_gain
    assert (summary["steps"], summary["reached"]) == (done.steps, int(done.reached))
    assert abs(row["margin_after"] - row["margin_before"]).max() > 0.2

    kl = back = loss = tokens = 0.0
    for ids in text:
        with torch.no_grad():
            then, now = (
                m.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
                for m in (lm, copied)
            )
        for t in range(1, len(ids)):
            kl += float((then[t - 1].exp() * (then[t - 1] - now[t - 1])).sum())
            back += float((now[t - 1].exp() * (now[t - 1] - then[t - 1])).sum())
            loss += float(then[t - 1, ids[t]] - now[t - 1, ids[t]])
            tokens += 1
    assert harm["text"].tolist() == ["one", "two"]
    for found in harm.itertuples():
        assert found.harm_kl == pytest.approx(kl / tokens, rel=1e-3)
        assert found.harm_loss == pytest.approx(loss / tokens, rel=1e-2, abs=1e-4)
    assert kl / tokens > 1e-3
    assert abs(back - kl) > 0.02 * kl  # KL has a direction, and the test can tell which


def test_margins_handed_over_give_the_same_row():
    lm, pairs = toys.gpt2(), toys.english(8)
    config = ftgd.Config(k=1.0, target=0.5, max_displacement=1.0)
    before = scoring.margins(lm, pairs[pairs["split"] == "eval"])
    one = probing.transfer_row(lm, pairs, "plural", config)[0]
    other = probing.transfer_row(lm, pairs, "plural", config, before=before)[0]
    pd.testing.assert_frame_equal(one, other)


def test_what_changes_nothing_harms_nothing():
    """Identical pairs leave the model as it is: no transfer and no harm, exactly."""
    lm, pairs = toys.gpt2(), toys.english(8)
    pairs.loc[pairs["task"] == "agree", "bad"] = pairs["good"]
    texts = {"text": lm.encode(TEXT)}
    row, summary, harm = probing.transfer_row(lm, pairs, "agree", ftgd.Config(), texts)
    assert harm[["harm_kl", "harm_loss"]].to_numpy().tolist() == [[0.0, 0.0]]
    assert summary["reached"] == 0
    assert (row["margin_after"] == row["margin_before"]).all()
    assert summary["flag"] != ""


def test_rows_without_a_text_have_no_harm_and_unknown_sources_are_named():
    lm, pairs = toys.gpt2(), toys.english(8)
    config = ftgd.Config(target=0.2, max_steps=1)
    harm = probing.transfer_row(lm, pairs, "agree", config)[2]
    assert harm.empty
    assert list(harm) == ["tuning", "source", "text", "harm_kl", "harm_loss"]
    with pytest.raises(InputError, match=r"no task 'agreement'; the tasks are agree, plural"):
        probing.transfer_row(lm, pairs, "agreement", config)


def test_tasks_that_lack_a_half_are_flagged_and_stop_nobody():
    lm, pairs = toys.gpt2(), toys.english(8)
    pairs.loc[pairs["task"] == "plural", "split"] = "train"
    pairs.loc[pairs["task"] == "reflexive", "split"] = "eval"
    config, weights = ftgd.Config(target=0.2, k=1.0, max_displacement=1.0), toys.state(lm)
    row = probing.transfer_row(lm, pairs, "agree", config)[0].set_index("target")
    assert row["flag"].tolist() == ["failed before tuning", "no eval pairs", ""]
    assert row["n_eval"].tolist() == [4, 0, 8]
    assert row["margin_after"].isna().tolist() == [False, True, False]
    row, summary, harm = probing.transfer_row(
        lm, pairs, "reflexive", config, {"text": lm.encode(TEXT)}
    )
    assert (summary["flag"], summary["steps"], summary["reached"]) == ("no train pairs", 0, 0)
    assert np.isnan(summary["own_gain"])
    assert row["margin_after"].isna().all()
    assert set(row["flag"]) == {"no train pairs"}
    assert harm.empty
    space, facts = gradients.gradient_space(lm, pairs)
    flags = facts.set_index("task")["flag"].to_dict()
    assert flags["plural"] == flags["reflexive"] == "no train pairs or no eval pairs"
    lacking = space[(space["a"] != "agree") | (space["b"] != "agree")]
    assert lacking["cosine_corrected"].isna().all()
    assert toys.state(lm) == weights


def test_tasks_without_room_are_flagged():
    lm = toys.bigram(words="x y z")
    with torch.no_grad():
        lm.model.table[3] = torch.tensor([0.0, 0, 0, 0, 5, -5])
    pairs = toys.pairs_of(
        {"solved": [("x y", "x z")] * 4, "failed": [("x z", "x y")] * 4,
         "open": [("y x", "y z"), ("y z", "y x")] * 2}
    )  # fmt: skip
    row, *_ = probing.transfer_row(lm, pairs, "open", ftgd.Config(max_steps=1))
    flags = dict(zip(row["target"], row["flag"], strict=True))
    assert flags == {
        "solved": "solved before tuning", "failed": "failed before tuning", "open": ""
    }  # fmt: skip


def test_a_model_that_tuning_broke_is_flagged_and_the_weights_come_back(monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    weights, real = toys.state(lm), ftgd._tune

    def breaks(model, *rest):
        done = real(model, *rest)
        with torch.no_grad():
            model.model.transformer.ln_f.weight.fill_(float("nan"))
        return done

    monkeypatch.setattr(ftgd, "_tune", breaks)
    row, *_ = probing.transfer_row(lm, pairs, "agree", ftgd.Config(k=1.0, max_steps=1))
    assert set(row["flag"]) == {"not finite after tuning"}
    assert row["margin_after"].isna().all()
    assert toys.state(lm) == weights


def test_neutral_text_is_cut_to_the_context_and_to_its_length():
    lm = toys.gpt2()
    long = " ".join(["cat"] * 60)
    found = probing.neutral_text(lm, [long, "the cat .", "", "a dog ."], tokens=26)
    assert [len(ids) for ids in found] == [24, 4]
    assert all(ids[0] == toys.BOS for ids in found)
    with pytest.raises(InputError, match="no line"):
        probing.neutral_text(lm, ["", ""])
    both = probing.neutral_texts(lm, {"one": ["the cat ."] * 9, "two": ["a dog ."] * 9}, 16)
    assert {name: len(text) for name, text in both.items()} == {"one": 2, "two": 2}
