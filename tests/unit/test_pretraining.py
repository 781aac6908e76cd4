"""Pre-training: which checkpoints, which data in which order, and the same bytes every time."""

from __future__ import annotations

import json
import lzma
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from taskspace_utils import models, pretraining, scales, scoring
from taskspace_utils.store import InputError
from taskspace_utils.tables import read_table

from . import toys

STEPS = 210  # two hundreds, and an end that is neither


def lines(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    words = toys.WORDS.split()
    often = [1 / (rank + 1) ** 2 for rank in range(len(words))]  # something to learn
    return [" ".join(rng.choices(words, often, k=rng.randint(2, 9))) for _ in range(n)]


CORPUS = pretraining.Corpus(lines(150), {"held-out": lines(20, seed=1)}, ("unseen",))


def train(out: Path, steps: int = STEPS, seed: int = 0, **options) -> Path:
    options = {"scale": toys.WORD_SCALE, "corpus": CORPUS, "progress": lambda _: None} | options
    return pretraining.pretrain(steps=steps, seed=seed, out=out, **options)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("undisturbed"))


@given(st.integers(1, 10_000))
def test_checkpoints_are_at_zero_at_doubling_hundreds_and_at_the_end(steps):
    found = pretraining.checkpoint_steps(steps)
    assert found == sorted(set(found))
    assert found == [s for s in (0, *(100 * 2**n for n in range(8))) if s < steps] + [steps]


def test_a_training_keeps_what_it_promises(undisturbed):
    folders = ["step-000000", "step-000100", "step-000200", "step-000210"]
    assert sorted(p.name for p in undisturbed.iterdir()) == [
        *folders, "training.csv", "training.json"
    ]  # fmt: skip
    log = read_table(undisturbed / "training.csv")
    assert log["step"].tolist() == [0, 100, 200, 210]
    assert log["tokens"].iloc[0] == 0
    assert log["tokens"].is_monotonic_increasing
    vocabulary = len(toys.tokenizer()) + 1  # the corpus asks for one word more
    assert log["loss"].iloc[0] == pytest.approx(np.log(vocabulary), abs=0.1)
    assert log["loss"].iloc[-1] < log["loss"].iloc[0] - 0.3  # it learns
    for name in folders:
        lm = models.load_model(undisturbed / name)
        assert lm.keys == {
            "model": "toy-seed0", "scale": "toy", "seed": 0, "step": int(name[-6:])
        }  # fmt: skip
        loss = scoring.text_loss(lm.model, lm.encode(CORPUS.held_out["held-out"]))
        logged = log.set_index("step")["loss"][lm.card["step"]]
        assert loss == pytest.approx(logged, abs=1e-5)


def test_the_same_seed_gives_the_same_bytes(undisturbed, tmp_path):
    assert tree(train(tmp_path / "again")) == tree(undisturbed)


def test_another_seed_gives_other_weights_and_another_order(undisturbed, tmp_path):
    other = tree(train(tmp_path / "other", steps=1, seed=1))
    weights = "step-000000/model.safetensors"
    assert other[weights] != tree(undisturbed)[weights]


@pytest.mark.parametrize("at", [30, 100, 150, 205])
def test_a_broken_off_training_goes_on_to_the_same_bytes(at, undisturbed, tmp_path, monkeypatch):
    real = pretraining._training_step

    def breaks(model, optimiser, batch, step, scale):
        if step == at:
            raise KeyboardInterrupt
        real(model, optimiser, batch, step, scale)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "_training_step", breaks)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run")
    assert not (tmp_path / "run" / "training.csv").exists()
    steps = []
    monkeypatch.setattr(pretraining, "_training_step", lambda *a: (steps.append(a[3]), real(*a)))
    assert tree(train(tmp_path / "run")) == tree(undisturbed)
    assert steps[0] == max(s for s in (0, 100, 200) if s <= at)  # it doesn't begin anew


@pytest.mark.parametrize("what", ["_keep_checkpoint", "_keep_state"])
def test_broken_off_while_a_checkpoint_is_kept(what, undisturbed, tmp_path, monkeypatch):
    real, calls = getattr(pretraining, what), []

    def breaks(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("disk full")
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, what, breaks)
        with pytest.raises(OSError, match="disk full"):
            train(tmp_path / "run")
    assert tree(train(tmp_path / "run")) == tree(undisturbed)


def test_progress_that_raises_breaks_off_and_nothing_is_lost(undisturbed, tmp_path):
    def breaks(text: str) -> None:
        if "step 100/" in text:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        train(tmp_path / "run", progress=breaks)
    assert tree(train(tmp_path / "run")) == tree(undisturbed)


def test_a_short_run_is_the_beginning_of_a_long_one(undisturbed, tmp_path):
    short = tree(train(tmp_path / "run", steps=100))
    shared = {k: v for k, v in short.items() if k.startswith("step-")}
    assert shared.items() <= tree(undisturbed).items()
    assert tree(train(tmp_path / "run")) == tree(undisturbed)  # the same folder goes on


def test_what_is_finished_is_not_done_again(undisturbed, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in undisturbed.rglob("*")}
    monkeypatch.setattr(pretraining, "_training_step", lambda *a: pytest.fail("trained again"))
    train(undisturbed)
    assert {p: p.stat().st_mtime_ns for p in undisturbed.rglob("*")} == before


def test_further_steps_are_kept_and_change_nothing(undisturbed, tmp_path):
    more = tree(train(tmp_path / "run", also_at=(7, 5000)))
    assert "step-000007/model.safetensors" in more
    assert not any("005000" in name for name in more)
    unchanged = {k: v for k, v in more.items() if not k.startswith(("step-000007", "training.csv"))}
    assert unchanged == {k: v for k, v in tree(undisturbed).items() if k != "training.csv"}


def test_the_first_step_is_the_gradient_of_the_mean_loss_a_token(tmp_path, monkeypatch):
    """Chunks of a batch add up; against one plain pass over each sentence."""
    taken = []

    class Stop(Exception):
        pass

    def stop(self, closure=None):
        parameters = self.param_groups[0]["params"]
        taken.append(([p.grad.clone() for p in parameters], self.param_groups[0]["lr"]))
        raise Stop

    monkeypatch.setattr(torch.optim.AdamW, "step", stop)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *a: None)
    monkeypatch.setattr(pretraining, "CHUNK_TOKENS", 9)
    with pytest.raises(Stop):
        train(tmp_path / "run")
    lm = models.load_model(tmp_path / "run" / "step-000000")
    batch = list(islice(pretraining.sequences(toys.WORD_SCALE, lm.tokenizer, CORPUS.train, 0), 4))
    loss = tokens = 0
    for ids in batch:
        logs = lm.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        loss = loss - sum(logs[t - 1, ids[t]] for t in range(1, len(ids)))
        tokens += len(ids) - 1
    (loss / tokens).backward()
    ((gradients, rate),) = taken
    assert rate == toys.WORD_SCALE.lr / toys.WORD_SCALE.warmup  # the first of a warm-up
    for found, p in zip(gradients, lm.model.parameters(), strict=True):
        torch.testing.assert_close(found, p.grad, atol=1e-6, rtol=1e-4)


def test_the_rate_warms_up_and_then_stays(monkeypatch):
    rates, model = [], scales.new_model(toys.WORD_SCALE, 10, 0)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    monkeypatch.setattr(optimiser, "step", lambda: rates.append(optimiser.param_groups[0]["lr"]))
    for step in (0, 1, 4, 5, 1000):
        pretraining._training_step(model, optimiser, [[0, 3, 4]], step, toys.WORD_SCALE)
    np.testing.assert_allclose(rates, [0.002, 0.004, 0.01, 0.01, 0.01])


# ------------------------------------------------------------------------------------ order of data


def test_the_seed_fixes_the_order_across_scales():
    wide = replace(toys.WORD_SCALE, name="wide", layers=3, width=32, heads=4, context=48, batch=9)
    tokenizer = toys.tokenizer()

    def drawn(scale, seed):
        return list(islice(pretraining.sequences(scale, tokenizer, CORPUS.train, seed), 400))

    assert drawn(toys.WORD_SCALE, 3) == drawn(wide, 3)
    assert drawn(wide, 3) != drawn(wide, 4)
    passes = drawn(wide, 3)
    first, second = passes[:150], passes[150:300]
    assert sorted(first) == sorted(second)  # every line once a pass
    assert first != second  # in another order


def test_lines_start_with_bos():
    tokenizer = toys.tokenizer()
    found = list(pretraining.sequences(toys.WORD_SCALE, tokenizer, CORPUS.train, None))
    words = [tokenizer.decode(ids[1:]) for ids in found]
    assert words == CORPUS.train
    assert all(ids[0] == toys.BOS and toys.BOS not in ids[1:] for ids in found)


def test_blocks_start_with_bos_and_lose_no_token():
    text = lines(60)
    tokenizer = scales.new_tokenizer(toys.BPE_SCALE, text)
    blocks = list(pretraining.sequences(toys.BPE_SCALE, tokenizer, text, None))
    assert len(blocks) > 20
    assert {len(block) for block in blocks} == {toys.BPE_SCALE.context}
    assert {block[0] for block in blocks} == {toys.BOS}
    assert all(block[1] != toys.BOS for block in blocks)  # never two
    stream = [t for line in text for t in (toys.BOS, *tokenizer(line)["input_ids"])]
    rebuilt = [t for block in blocks for t in block if t != toys.BOS]
    plain = [t for t in stream if t != toys.BOS]
    assert rebuilt == plain[: len(rebuilt)]
    assert len(plain) - len(rebuilt) < toys.BPE_SCALE.context  # only the last block is lost


def test_lines_longer_than_the_context_are_refused_before_anything_is_written(tmp_path):
    corpus = replace(CORPUS, train=[*CORPUS.train, " ".join(["cat"] * 40)])
    with pytest.raises(InputError, match="40 words; toy takes 15"):
        train(tmp_path / "run", corpus=corpus)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------ wrong folders


def test_wrong_folders_are_refused(tmp_path, undisturbed):
    with pytest.raises(InputError, match="another training"):
        train(undisturbed, seed=1)
    with pytest.raises(InputError, match="another training"):
        train(undisturbed, corpus=replace(CORPUS, train=lines(150, seed=9)))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not ours"):
        train(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="at least 1"):
        train(tmp_path / "none", steps=0)


def test_a_wrong_corpus_leaves_no_folder_behind(tmp_path):
    corpus = replace(CORPUS, train=[f"w{i} ." for i in range(200)])
    with pytest.raises(InputError, match="different words"):
        train(tmp_path / "run", corpus=corpus)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_raises(tmp_path):
    hot = replace(toys.WORD_SCALE, lr=1e30, warmup=1)
    with pytest.raises(InputError, match=r"loss is .* at step .* lower its lr"):
        train(tmp_path / "run", scale=hot)


# ------------------------------------------------------------------------------------------ corpora


def write(folder: Path, **files: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / name.replace("_", "-").replace("-txt", ".txt").replace(".txt-xz", ".txt.xz")
        data = "\n".join(text).encode()
        path.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)
    return folder


def test_a_folder_trains_on_train_holds_out_valid_and_never_reads_test(tmp_path):
    folder = write(
        tmp_path / "c", train_a_00_txt=lines(12), train_b_00_txt_xz=lines(9, 1), other_txt=["no"],
        valid_a_00_txt=lines(5, 2), valid_b_00_txt=lines(4, 3), valid_b_01_txt=lines(3, 4),
    )  # fmt: skip
    (folder / "test-a-00.txt").write_bytes(b"\xff\xfe")  # reading it would raise
    (folder / "README.md").write_text("no")
    corpus = pretraining.read_corpus(folder)
    assert corpus.train == [*lines(12), *lines(9, 1)]
    assert corpus.held_out == {"a": lines(5, 2), "b": [*lines(4, 3), *lines(3, 4)]}


def test_without_train_files_all_others_are_trained_on(tmp_path):
    folder = write(tmp_path / "c", one_txt=lines(30), two_txt=lines(30, 1), test_a_txt=["no"])
    corpus = pretraining.read_corpus(folder)
    (held,) = corpus.held_out.values()
    assert sorted({*corpus.train, *held}) == sorted({*lines(30), *lines(30, 1)})
    assert not set(held) & set(corpus.train)
    assert len(held) == len({*held})


def test_of_a_single_file_every_tenth_line_is_held_out_and_no_copy_stays(tmp_path):
    text = [f"line {i}" for i in range(95)] + ["line 0"] * 5
    path = tmp_path / "text.txt.xz"
    path.write_bytes(lzma.compress("\n".join(["", *text, "  "]).encode()))
    corpus = pretraining.read_corpus(path)
    (held,) = corpus.held_out.values()
    assert len(held) == 10
    assert not set(held) & set(corpus.train)
    assert set(held) | set(corpus.train) == set(text)
    places = sorted({text.index(line) for line in held})
    assert places[0] == 0
    assert places[-2] > 70  # spread over the whole file


def test_what_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        pretraining.read_corpus(tmp_path / "nothing")
    with pytest.raises(InputError, match="0 lines of text"):
        pretraining.read_corpus(write(tmp_path / "empty"))
    with pytest.raises(InputError, match="2 lines of text"):
        pretraining.read_corpus(write(tmp_path / "few", a_txt=lines(2)))
    latin = tmp_path / "latin.txt"
    latin.write_bytes("\n".join(["naïve café"] * 20).encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt: not text in UTF-8"):
        pretraining.read_corpus(latin)
    broken = tmp_path / "broken.txt.xz"
    broken.write_bytes(b"this is not xz")
    with pytest.raises(InputError, match=r"broken\.txt\.xz"):
        pretraining.read_corpus(broken)
    cut = tmp_path / "cut.txt.xz"
    cut.write_bytes(lzma.compress("\n".join(lines(500)).encode())[:-40])
    with pytest.raises(InputError, match=r"cut\.txt\.xz"):
        pretraining.read_corpus(cut)


def test_a_held_out_text_too_short_for_a_block_is_refused(tmp_path):
    corpus = pretraining.Corpus(lines(60), {"tiny": ["a cat"]})
    with pytest.raises(InputError, match="'tiny' is too short"):
        train(tmp_path / "run", scale=toys.BPE_SCALE, corpus=corpus)
    assert not (tmp_path / "run").exists()


def test_byte_level_training_runs(tmp_path):
    out = train(tmp_path / "run", steps=3, scale=toys.BPE_SCALE)
    card = json.loads((out / "step-000003" / models.CARD).read_text())
    assert card["tokens"] == 3 * 4 * 15  # steps, sequences, tokens after BOS
    assert "café" in models.load_model(out / "step-000003").tokenizer.decode(
        models.load_model(out / "step-000003").encode(["café"])[0]
    )


def test_a_training_killed_in_its_first_or_last_write_goes_on(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".training.json.a1b2c3d4").touch()  # as write_atomic leaves it when it is killed
    train(out, 2)
    log = (out / "training.csv").read_bytes()
    (out / "training.csv").unlink()
    train(out, 2)
    assert (out / "training.csv").read_bytes() == log
