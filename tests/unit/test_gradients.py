"""The gradient space against dense, naive computations, and where margins are linear."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import ftgd, gradients, probing, spaces, store
from taskspace_utils.store import InputError

from . import toys


def handed_over(vectors: dict[str, torch.Tensor]):
    """A stand-in for `loss_gradient` that gives a task's vector for both of its halves."""
    return lambda lm, some: (vectors[some["task"].iloc[0]].clone(), None, None)


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
    table, facts = gradients.gradient_space(lm, pairs, k=1 / 49)  # one of 49 parameters
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
    table, _ = gradients.gradient_space(lm, pairs, k=k)
    config = ftgd.Config(k=k, target=2.0, max_displacement=1e9)
    rows = pd.concat(probing.transfer_row(lm, pairs, s, config)[0] for s in "ABC")
    real = spaces.transfer(rows)
    gain = pd.Series(np.diag(real), index=real.index)
    predicted = gradients.predicted_transfer(table, gain, masked=k < 1)
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
    table, facts = gradients.gradient_space(lm, pairs, k=0.05)
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
    table, _ = gradients.gradient_space(toys.gpt2(), toys.english(8))
    for name in ("cosine", "cosine_corrected", "cosine_blocks", "overlap", "overlap_lift"):
        space = spaces.square(table, name)
        np.testing.assert_allclose(space, space.T, atol=1e-9, err_msg=name)


def test_the_space_depends_neither_on_the_order_of_rows_nor_of_tasks():
    lm, pairs = toys.gpt2(), toys.english(8)
    one, facts = gradients.gradient_space(lm, pairs)
    other, other_facts = gradients.gradient_space(lm, pairs.sample(frac=1, random_state=0))
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
    three, _ = gradients.gradient_space(lm, pairs)
    two, _ = gradients.gradient_space(lm, pairs[pairs["task"] != "reflexive"])
    kept = three[(three["a"] != "reflexive") & (three["b"] != "reflexive")].reset_index(drop=True)
    pd.testing.assert_frame_equal(two, kept, atol=1e-6, rtol=1e-5)


def test_a_task_of_identical_pairs_has_no_direction():
    lm, pairs = toys.gpt2(), toys.english(8)
    pairs.loc[pairs["task"] == "agree", "bad"] = pairs["good"]
    table, facts = gradients.gradient_space(lm, pairs)
    flags = dict(zip(facts["task"], facts["flag"], strict=True))
    assert flags["agree"] == "zero gradient"
    assert table[table["a"] == "agree"][["cosine", "cosine_corrected"]].isna().all(axis=None)
    assert table[(table["a"] == "plural") & (table["b"] == "plural")]["cosine"].notna().all()


def test_inner_products_of_long_vectors_are_added_up_in_float64(monkeypatch):
    """Both halves have the same gradient of a million numbers, so a self-cosine is 1."""
    lm = toys.bind(toys.Table(torch.zeros(1024, 1024)))
    drawn = torch.randn(2, 1024 * 1024, generator=torch.Generator().manual_seed(0)) + 0.5
    vectors = {"agree": drawn[0], "plural": drawn[1]}
    monkeypatch.setattr(gradients, "loss_gradient", handed_over(vectors))
    pairs = toys.english(4).query("task != 'reflexive'")
    table, facts = gradients.gradient_space(lm, pairs)
    np.testing.assert_allclose(facts["reliability"], 1, rtol=0, atol=1e-7)
    exact = [v.numpy().astype(np.float64) for v in vectors.values()]
    np.testing.assert_allclose(
        spaces.square(table, "dot"), [[v @ w for w in exact] for v in exact], rtol=1e-6
    )


# ----------------------------------------------------------------------------- the file, the pieces


def test_pieces_of_any_size_add_up_to_the_same_space(monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    whole, facts = gradients.gradient_space(lm, pairs, k=0.05)
    monkeypatch.setattr(gradients, "PIECE", 37)
    pieces, other = gradients.gradient_space(lm, pairs, k=0.05)
    numbers = whole.columns.difference(["a", "b"])
    np.testing.assert_allclose(pieces[numbers], whole[numbers], rtol=1e-5, atol=1e-7)
    pd.testing.assert_frame_equal(other, facts, rtol=1e-5)


def test_large_models_are_kept_at_half_width_and_lose_little(monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    whole = gradients.gradient_space(lm, pairs, k=0.05)[0]
    monkeypatch.setattr(gradients, "HALF_WIDTH_ABOVE", 100)
    half = gradients.gradient_space(lm, pairs, k=0.05)[0]
    difference = (half["cosine"] - whole["cosine"]).abs()
    assert 0 < difference.max() < 1e-3  # 8 bits a number, over only 7,000 numbers
    np.testing.assert_allclose(half["overlap"], whole["overlap"], atol=0.02)


@pytest.mark.parametrize("kind", ["ties", "zeros", "few values"])
def test_ties_go_to_the_lower_place_in_every_overlap(kind, monkeypatch):
    """Gradients whose values are often equal, against sets of sorted places."""
    lm = toys.gpt2(layers=1, width=8)
    size = len(ftgd.flat_weights(lm.model))
    drawn = torch.Generator().manual_seed(0)
    values = {
        "ties": lambda: torch.randint(0, 3, (size,), generator=drawn).float(),
        "zeros": lambda: (torch.rand(size, generator=drawn) < 0.02).float(),
        "few values": lambda: torch.randint(-9, 9, (size,), generator=drawn).float(),
    }[kind]
    vectors = {task: values() for task in ("agree", "plural", "reflexive")}
    monkeypatch.setattr(gradients, "loss_gradient", handed_over(vectors))
    monkeypatch.setattr(gradients, "PIECE", 100)
    table = gradients.gradient_space(lm, toys.english(8), k=0.05)[0].set_index(["a", "b"])
    count = round(0.05 * size)
    top = {
        task: set(np.lexsort((np.arange(size), -v.abs().numpy()))[:count].tolist())
        for task, v in vectors.items()
    }
    for (a, b), row in table.iterrows():
        assert row["overlap"] * count == pytest.approx(len(top[a] & top[b]))


def test_the_file_of_gradients_is_gone_afterwards_also_after_an_error(monkeypatch):
    lm, pairs = toys.gpt2(), toys.english(8)
    gradients.gradient_space(lm, pairs)
    assert os.listdir(store.store_path("scratch")) == []
    monkeypatch.setattr(gradients, "_sums", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gradients.gradient_space(lm, pairs)
    assert os.listdir(store.store_path("scratch")) == []


def test_a_disk_that_is_too_small_is_named_before_anything_is_computed(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    monkeypatch.setattr(gradients, "loss_gradient", None)
    with pytest.raises(InputError, match=r"6 gradients of 0 million .* are free: make room"):
        gradients.gradient_space(toys.gpt2(), toys.english(8))
