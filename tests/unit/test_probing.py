"""Both spaces against dense, naive computations, and against a model whose margins are linear."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import ftgd, probing, scoring, spaces
from taskspace_utils.store import InputError

from . import toys

TEXT = ["the old cat sees a dog .", "a dog .", "the dogs and the cats sleep .", "a cat ."]


# ----------------------------------------------------------------------------------- transfer space


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
    space, facts = probing.gradient_space(lm, pairs)
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
    weights, real = toys.state(lm), ftgd.tune

    def breaks(model, *rest):
        done = real(model, *rest)
        with torch.no_grad():
            model.model.transformer.ln_f.weight.fill_(float("nan"))
        return done

    monkeypatch.setattr(ftgd, "tune", breaks)
    row, *_ = probing.transfer_row(lm, pairs, "agree", ftgd.Config(max_steps=1))
    assert set(row["flag"]) == {"not finite after tuning"}
    assert row["margin_after"].isna().all()
    assert toys.state(lm) == weights


# ------------------------------------------------------------------------------------- linear model


def linear() -> tuple:
    """A bigram model whose three tasks have linear margins after x, with known inner products.

    g_A = −e_y + e_z, g_B = −e_y + e_w, g_C = −e_z + e_y = −g_A (in the row of x).
    """
    lm = toys.bigram(words="w x y z")
    with torch.no_grad():
        lm.model.table[4] = 0.0  # x
    tasks = {"A": [("x y", "x z")] * 4, "B": [("x y", "x w")] * 4, "C": [("x z", "x y")] * 4}
    return lm, toys.pairs_of(tasks)


def test_the_gradient_space_of_a_linear_model_worked_by_hand():
    lm, pairs = linear()
    table, facts = probing.gradient_space(lm, pairs, k=1 / 49)  # one of 49 parameters
    cosine = spaces.square(table, "cosine").to_numpy()
    np.testing.assert_allclose(cosine, [[1, 0.5, -1], [0.5, 1, -0.5], [-1, -0.5, 1]], atol=1e-6)
    np.testing.assert_allclose(facts["norm"], np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(facts["reliability"], 1, atol=1e-6)
    np.testing.assert_allclose(facts["participation"], 2**2 / (49 * 2), atol=1e-6)
    # top 1: w (3) before y (5) before z (6), ties to the lower: A y, B w, C y
    overlap = spaces.square(table, "overlap").to_numpy()
    np.testing.assert_array_equal(overlap, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_allclose(spaces.square(table, "overlap_lift"), overlap * 49)
    energy = [[0.5, 0.5, 0.5], [0, 0.5, 0], [0.5, 0.5, 0.5]]  # y holds half of all three
    np.testing.assert_allclose(spaces.square(table, "energy"), energy, atol=1e-6)


@pytest.mark.parametrize("k", [1.0, 1 / 49])
def test_predicted_transfer_is_right_where_margins_are_linear(k):
    lm, pairs = linear()
    table, _ = probing.gradient_space(lm, pairs, k=k)
    config = ftgd.Config(k=k, target=2.0, max_displacement=1e9)
    rows = pd.concat(probing.transfer_row(lm, pairs, s, config)[0] for s in "ABC")
    real = spaces.transfer(rows)
    gain = pd.Series(np.diag(real), index=real.index)
    predicted = probing.predicted_transfer(table, gain, masked=k < 1)
    found = spaces.square(predicted, "predicted", "source", "target")
    np.testing.assert_allclose(found, real, atol=1e-4)
    expected = (
        [[2, 1, -2], [1, 2, -1], [-2, -1, 2]] if k == 1 else [[2, 2, -2], [0, 2, 0], [-2, -2, 2]]
    )
    np.testing.assert_allclose(real, expected, atol=1e-3)


# ----------------------------------------------------------------------------------- gradient space


def naive(lm, pairs: pd.DataFrame, k: float) -> tuple[dict, dict]:
    """Every column of both tables, a cell at a time, from lists of numbers and sets."""
    names = sorted(set(pairs["task"]))
    parts = list(lm.model.named_parameters())
    tensor = np.concatenate([np.full(p.numel(), i) for i, (_, p) in enumerate(parts)])
    embedding = np.concatenate([np.full(p.numel(), ".wte." in n or ".wpe." in n) for n, p in parts])
    g = {}
    for task in names:
        for half in ("train", "eval"):
            some = pairs[(pairs["task"] == task) & (pairs["split"] == half)]
            g[task, half] = ftgd.loss_gradient(lm, some)[0].numpy().astype(np.float64)
    total = len(tensor)

    def largest(v: np.ndarray, count: int) -> set:
        return set(np.lexsort((np.arange(total), -np.abs(v.astype(np.float32))))[:count].tolist())

    def cos(v, w):
        return sum(v * w) / np.sqrt(sum(v * v)) / np.sqrt(sum(w * w))

    count = round(k * total)
    top = {key: largest(v, count) for key, v in g.items()}
    inner = {
        key: largest(np.where(embedding, 0, v), round(k * (~embedding).sum()))
        for key, v in g.items()
    }
    ways = [("train", "eval"), ("eval", "train")]
    reliability = {a: cos(g[a, "train"], g[a, "eval"]) for a in names}
    cells: dict = {}
    for a in names:
        for b in names:
            both = [(g[a, h], g[b, o]) for h, o in ways]
            cosine = np.mean([cos(v, w) for v, w in both])
            shared = np.mean([len(top[a, h] & top[b, o]) for h, o in ways])
            chance = np.mean(
                [
                    sum(
                        sum(tensor[i] == t for i in top[a, h])
                        * sum(tensor[i] == t for i in top[b, o])
                        / (tensor == t).sum()
                        for t in range(len(parts))
                    )
                    for h, o in ways
                ]
            )
            mask = sorted(top[a, "train"])
            stable = min(reliability[a], reliability[b]) >= 0.5
            cells[a, b] = {
                "cosine": cosine,
                "cosine_corrected": cosine / np.sqrt(reliability[a] * reliability[b])
                if stable
                else np.nan,
                "cosine_blocks": np.mean([cos(v[~embedding], w[~embedding]) for v, w in both]),
                "overlap": shared / count,
                "overlap_lift": shared / chance,
                "overlap_blocks": np.mean([len(inner[a, h] & inner[b, o]) for h, o in ways])
                / len(inner[a, "train"]),
                "energy": np.mean(
                    [sum(g[b, o][sorted(top[a, h])] ** 2) / sum(g[b, o] ** 2) for h, o in ways]
                ),
                "dot": sum(g[a, "train"] * g[b, "eval"]),
                "dot_masked": sum(g[a, "train"][mask] * g[b, "eval"][mask]),
                "k": k,
            }
    tasks: dict = {}
    for a in names:
        square = ((g[a, "train"] + g[a, "eval"]) / 2) ** 2
        ordered = sorted(square, reverse=True)
        tasks[a] = {
            "norm": np.mean([np.sqrt(sum(g[a, h] ** 2)) for h in ("train", "eval")]),
            "reliability": reliability[a],
            "participation": sum(square) ** 2 / (total * sum(square**2)),
            "top_001": sum(ordered[: max(1, round(0.001 * total))]) / sum(square),
            "top_01": sum(ordered[: round(0.01 * total)]) / sum(square),
            "top_10": sum(ordered[: round(0.1 * total)]) / sum(square),
            "embedding_share": sum(square[embedding]) / sum(square),
        }
    return cells, tasks


def test_every_column_of_the_gradient_space_against_a_naive_oracle():
    lm, pairs = toys.gpt2(layers=1, width=8), toys.english(8)
    noise = pairs[pairs["task"] == "plural"].reset_index(drop=True)
    turned = noise.index % 2 == 0  # half of the pairs ask for the opposite
    noise.loc[turned, ["good", "bad"]] = noise.loc[turned, ["bad", "good"]].to_numpy()
    pairs = pd.concat([pairs, noise.assign(task="noise")])
    table, facts = probing.gradient_space(lm, pairs, k=0.05)
    cells, tasks = naive(lm, pairs, 0.05)
    assert len(table) == 16
    assert table.columns.tolist() == ["a", "b", *cells["agree", "agree"]]
    for row in table.to_dict("records"):
        for name, expected in cells[row["a"], row["b"]].items():
            np.testing.assert_allclose(row[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)
    for row in facts.to_dict("records"):
        for name, expected in tasks[row["task"]].items():
            np.testing.assert_allclose(row[name], expected, rtol=1e-4, err_msg=name)
    reliable = facts.set_index("task")["reliability"] >= 0.5
    assert reliable.any()
    assert not reliable.all()
    assert (facts["flag"] == np.where(reliable, "", "unreliable gradient")).all()


def test_symmetric_measures_are_symmetric():
    table, _ = probing.gradient_space(toys.gpt2(), toys.english(8))
    for name in ("cosine", "cosine_corrected", "cosine_blocks", "overlap", "overlap_lift"):
        space = spaces.square(table, name)
        np.testing.assert_allclose(space, space.T, atol=1e-9, err_msg=name)


def test_the_space_depends_neither_on_the_order_of_rows_nor_of_tasks():
    lm, pairs = toys.gpt2(), toys.english(8)
    one, facts = probing.gradient_space(lm, pairs)
    other, other_facts = probing.gradient_space(lm, pairs.sample(frac=1, random_state=0))
    assert one[["a", "b"]].equals(other[["a", "b"]])
    numbers = [c for c in one.columns if c not in ("a", "b")]
    np.testing.assert_allclose(one[numbers], other[numbers], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(facts["norm"], other_facts["norm"], rtol=1e-4)
    row = [probing.transfer_row(lm, p, "plural", ftgd.Config(target=0.5, max_displacement=1))[0]
           for p in (pairs, pairs.iloc[::-1])]  # fmt: skip
    numbers = ["margin_before", "margin_after", "margin_se"]
    np.testing.assert_allclose(row[0][numbers], row[1][numbers], atol=2e-3)


def test_more_tasks_change_nothing_between_the_others():
    lm, pairs = toys.gpt2(), toys.english(8)
    three, _ = probing.gradient_space(lm, pairs)
    two, _ = probing.gradient_space(lm, pairs[pairs["task"] != "reflexive"])
    kept = three[(three["a"] != "reflexive") & (three["b"] != "reflexive")].reset_index(drop=True)
    pd.testing.assert_frame_equal(two, kept, atol=1e-6, rtol=1e-5)


def test_a_task_of_identical_pairs_has_no_direction():
    lm, pairs = toys.gpt2(), toys.english(8)
    pairs.loc[pairs["task"] == "agree", "bad"] = pairs["good"]
    table, facts = probing.gradient_space(lm, pairs)
    flags = dict(zip(facts["task"], facts["flag"], strict=True))
    assert flags["agree"] == "zero gradient"
    assert table[table["a"] == "agree"][["cosine", "cosine_corrected"]].isna().all(axis=None)
    assert table[(table["a"] == "plural") & (table["b"] == "plural")]["cosine"].notna().all()


def test_inner_products_of_long_vectors_are_added_up_in_float64(monkeypatch):
    """Both halves have the same gradient of a million numbers, so a self-cosine is 1."""
    lm = toys.bind(toys.Table(torch.zeros(1024, 1024)))
    drawn = torch.randn(2, 1024 * 1024, generator=torch.Generator().manual_seed(0)) + 0.5
    vectors = {"agree": drawn[0], "plural": drawn[1]}
    monkeypatch.setattr(
        probing, "loss_gradient", lambda lm, some: (vectors[some["task"].iloc[0]], None, None)
    )
    pairs = toys.english(4).query("task != 'reflexive'")
    table, facts = probing.gradient_space(lm, pairs)
    np.testing.assert_allclose(facts["reliability"], 1, rtol=0, atol=1e-13)
    exact = [v.numpy().astype(np.float64) for v in vectors.values()]
    np.testing.assert_allclose(
        spaces.square(table, "dot"), [[v @ w for w in exact] for v in exact], rtol=1e-12
    )


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
