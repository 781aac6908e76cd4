"""Pseudo-likelihoods against loops over single gaps, and the wall between them and causal scores.

The oracle reads one gap at a time in float64 and knows the words' pieces from the words alone.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel, WordPiece

from taskspace_utils import (
    cells,
    cli,
    comparison,
    figures,
    ftgd,
    gradients,
    opening,
    partial,
    probing,
    pseudo,
    scoring,
    spaces,
    store,
    tables,
)
from taskspace_utils.ftgd import Config
from taskspace_utils.store import InputError

from . import toys

SPECIAL = ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>", "<extra_id_0>", "<extra_id_1>"]
WRITTEN = "the a cat dog see sleep old near and that him them ##self ##selves ##s . ?"
PIECES = WRITTEN.split()
SIZE = len(SPECIAL) + len(PIECES)
PAD, UNK, CLS, SEP, MASK, FIRST_GAP, NEXT_GAP = range(7)
SMALL = {"vocab_size": SIZE, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 32, "max_position_embeddings": 24, "initializer_range": 0.4}
MARKS = {"pad_token_id": PAD, "bos_token_id": CLS, "eos_token_id": SEP}
TWO = {"d_model": 16, "max_position_embeddings": 24, "init_std": 0.4}
TWO |= {f"{side}_layers": 1 for side in ("encoder", "decoder")}
TWO |= {f"{side}_attention_heads": 2 for side in ("encoder", "decoder")}
TWO |= {f"{side}_ffn_dim": 32 for side in ("encoder", "decoder")}
BUILDERS = {
    "bert": lambda: hf.BertForMaskedLM(hf.BertConfig(**SMALL, **MARKS)),
    "roberta": lambda: hf.RobertaForMaskedLM(hf.RobertaConfig(**SMALL, **MARKS)),
    "distilbert": lambda: hf.DistilBertForMaskedLM(
        hf.DistilBertConfig(
            vocab_size=SIZE, dim=16, n_layers=2, n_heads=2, hidden_dim=32, initializer_range=0.4,
            max_position_embeddings=24, **MARKS,
        )
    ),
    "t5": lambda: hf.T5ForConditionalGeneration(
        hf.T5Config(
            vocab_size=SIZE, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
            initializer_factor=2.0, decoder_start_token_id=PAD, pad_token_id=PAD, eos_token_id=SEP,
        )
    ),
    "bart": lambda: hf.BartForConditionalGeneration(
        hf.BartConfig(vocab_size=SIZE, decoder_start_token_id=SEP, **TWO, **MARKS)
    ),
}  # fmt: skip


def tokenizer(kind: str) -> hf.PreTrainedTokenizerFast:
    """Word pieces: "sleeps" is sleep ##s."""
    vocabulary = {piece: i for i, piece in enumerate(SPECIAL + PIECES)}
    if kind != "t5":  # only T5 has marks for gaps
        vocabulary = {name.replace("extra", "other"): i for name, i in vocabulary.items()}
    core = Tokenizer(WordPiece(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
    names = {"pad_token": "<pad>", "unk_token": "<unk>"}
    if kind == "t5":
        names |= {"eos_token": "<sep>", "additional_special_tokens": SPECIAL[-2:]}
    elif kind == "bart":
        names |= {"bos_token": "<cls>", "eos_token": "<sep>", "mask_token": "<mask>"}
    else:
        names |= {"cls_token": "<cls>", "sep_token": "<sep>", "mask_token": "<mask>"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=core, **names)


def save(folder, kind: str):
    torch.manual_seed(2)
    model = BUILDERS[kind]()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("pseudo")
    return {kind: save(home / kind, kind) for kind in BUILDERS}


@pytest.fixture
def load(folders):
    def loaded(kind: str) -> pseudo.PseudoModel:
        lm = opening.load_model(folders[kind], scoring="pseudo")
        lm.model.double()
        return lm

    return loaded


@pytest.fixture(params=list(BUILDERS))
def lm(request, load):
    return load(request.param)


# -------------------------------------------------------------------------------------- the oracle


def pieces_of(word: str) -> list[int]:
    """The longest piece first, then pieces that begin with ##; worked here, not asked for."""
    vocabulary, found = SPECIAL + PIECES, []
    while word:
        known = [
            n for n in range(len(word), 0, -1) if ("##" * bool(found)) + word[:n] in vocabulary
        ]
        found.append(vocabulary.index(("##" * bool(found)) + word[: known[0]]))
        word = word[known[0] :]
    return found


def logs(model, shown: list[int], written: list[int] | None = None) -> torch.Tensor:
    more = {} if written is None else {"decoder_input_ids": torch.tensor([written])}
    return model(input_ids=torch.tensor([shown]), **more).logits[0].log_softmax(-1)


def slow(lm, sentence: str) -> torch.Tensor:
    """A sentence's pseudo-log-likelihood, one gap and one token at a time."""
    model, words = lm.model.model, [pieces_of(word) for word in sentence.split()]
    kind, total = model.config.model_type, 0.0
    for n, word in enumerate(words):
        before, after = (list(itertools.chain(*some)) for some in (words[:n], words[n + 1 :]))
        if kind == "t5":
            shown = [*before, FIRST_GAP, *after, SEP]
            for i, token in enumerate([*word, NEXT_GAP]):
                total = total + logs(model, shown, [PAD, FIRST_GAP, *word[:i]])[-1, token]
        elif kind == "bart":
            shown, follows = [CLS, *before, MASK, *after, SEP], [*after, SEP][0]
            for i, token in enumerate([*word, follows]):
                total = total + logs(model, shown, [SEP, CLS, *before, *word[:i]])[-1, token]
        else:
            for i, token in enumerate(word):
                shown = [CLS, *before, *word[:i], *[MASK] * (len(word) - i), *after, SEP]
                total = total + logs(model, shown)[1 + len(before) + i, token]
    return total


def slow_margins(lm, pairs) -> np.ndarray:
    with torch.no_grad():
        return np.array(
            [float(slow(lm, g) - slow(lm, b)) for g, b in zip(pairs["good"], pairs["bad"])]
        )


def slow_gradient(lm, pairs) -> np.ndarray:
    weights = list(ftgd.parameters(lm.model).values())
    loss = sum(slow(lm, b) - slow(lm, g) for g, b in zip(pairs["good"], pairs["bad"])) / len(pairs)
    found = torch.autograd.grad(loss, weights)
    return torch.cat([g.flatten() for g in found]).numpy()


# ---------------------------------------------------------------------------------- the oracle says


def test_scores_are_the_oracles(lm):
    pairs = toys.english(16)
    oracle = slow_margins(lm, pairs)
    np.testing.assert_allclose(scoring.margins(lm, pairs), oracle, rtol=0, atol=toys.TOLERANCE)
    assert np.ptp(oracle) > 0.5
    table, each = opening.score(lm, pairs)
    tokens = [sum(len(pieces_of(word)) for word in s.split()) for s in pairs["good"]]
    assert each["tokens_good"].tolist() == tokens
    agree = (pairs["task"] == "agree").to_numpy()
    bits = -each["log_p_good"][agree].sum() / np.array(tokens)[agree].sum() / np.log(2)
    assert table.set_index("task")["bits_per_token"]["agree"] == pytest.approx(bits)


def test_gradients_and_their_space_are_the_oracles(lm):
    pairs, weights = toys.english(8), toys.state(lm)
    space = spaces.square(gradients.gradient_space(lm, pairs)[0], "cosine")
    assert toys.state(lm) == weights
    unit = {}
    for key, some in pairs.groupby(["task", "split"]):
        gradient = slow_gradient(lm, some)
        found = ftgd.loss_gradient(lm, some)[0].numpy()
        assert np.linalg.norm(found - gradient) < 1e-4 * np.linalg.norm(gradient)
        unit[key] = gradient / np.linalg.norm(gradient)
    for a, b in itertools.product(space.index, space.columns):
        both = unit[a, "train"] @ unit[b, "eval"], unit[b, "train"] @ unit[a, "eval"]
        assert space.loc[a, b] == pytest.approx(np.mean(both), abs=1e-4)


def test_a_transfer_row_holds_the_oracles_margins(lm):
    pairs, config = toys.english(8), Config(k=0.1, target=0.9, max_displacement=1e9)
    row, summary, _ = probing.transfer_row(lm, pairs, "agree", config)
    assert summary["reached"], summary
    held, weights = pairs[pairs["split"] == "eval"], toys.state(lm)
    with ftgd.tuned(lm, pairs[(pairs["task"] == "agree") & (pairs["split"] == "train")], config):
        after = held.assign(m=slow_margins(lm, held)).groupby("task")["m"].mean()
    found = row.set_index("target")["margin_after"]
    np.testing.assert_allclose(found[after.index], after, rtol=0, atol=1e-3)
    assert toys.state(lm) == weights


@pytest.mark.parametrize("count", [1, 10_000])
def test_any_pass_and_any_order_give_the_same_numbers(lm, count, monkeypatch):
    pairs = toys.english(4)
    sentences = [*pairs["good"], *pairs["bad"]]
    before = scoring.log_probabilities(lm, sentences)
    monkeypatch.setattr(pseudo, "PASS_TOKENS", count)
    after = scoring.log_probabilities(lm, sentences[::-1])[::-1]
    np.testing.assert_allclose(after, before, rtol=0, atol=toys.TOLERANCE)
    assert (scoring.margins(lm, pairs.assign(bad=pairs["good"])) == 0).all()


# --------------------------------------------------------------------------- what the quantity is


def test_the_ways_to_fill_a_word_have_probabilities_that_add_up_to_one(load):
    """So it is only because a piece can't see those after it; each seeing the other, it is not."""
    model, ids = load("bert").model, [n for n in range(SIZE) if n != SEP]
    ways = list(itertools.product(ids, ids))
    with torch.no_grad():
        each = model(torch.tensor([[CLS, 8, SEP, a, b, SEP, 9, SEP, SEP] for a, b in ways])).logits
        each = each.log_softmax(-1)
        found = sum(
            float((each[row, 2, a] + each[row, 3, b]).exp()) for row, (a, b) in enumerate(ways)
        )
        first = logs(model.model, [CLS, 8, MASK, MASK, 9, SEP])[2].exp()
        left_out = float(first[SEP])  # an end can't be part of a word here
        naive = 0.0
        for a in ids:
            second = logs(model.model, [CLS, 8, a, MASK, 9, SEP])[3].exp()
            left_out += float(first[a] * second[SEP])
            for b in ids:
                seen = logs(model.model, [CLS, 8, MASK, b, 9, SEP])[2].exp()
                naive += float(seen[a] * second[b])
    assert found + left_out == pytest.approx(1, abs=1e-5)
    assert abs(naive + left_out - 1) > 1e-2


def test_only_ends_that_a_model_is_asked_for_count(load):
    """Shown how many pieces a word has, a masked model isn't asked where it ends; T5 is."""
    found = {}
    for kind in ("bert", "t5", "bart"):
        lm = load(kind)
        (ids,) = lm.encode(["the cats sleep ."])
        with torch.no_grad():
            each = lm.model(torch.tensor([ids])).logits.log_softmax(-1)[0]
        ends = [t for t in range(1, len(ids)) if ids[t] == lm.model.special.end]
        found[kind] = [round(float(each[t - 1, ids[t]]), 3) for t in ends]
        assert len(ends) == 5  # a word each, and the sentence
    assert found["bert"] == [0] * 5
    for kind in ("t5", "bart"):
        assert found[kind][-1] == 0
        assert all(value < 0 for value in found[kind][:-1])


def test_the_context_leaves_out_what_is_for_padding(load):
    assert {kind: load(kind).context for kind in ("bert", "roberta", "t5", "bart")} == {
        "bert": 24, "roberta": 23, "t5": None, "bart": 24
    }  # fmt: skip
    lm = load("roberta")
    fits = " ".join(["cat"] * 21)  # and two marks
    assert np.isfinite(scoring.log_probabilities(lm, [fits])).all()
    with pytest.raises(InputError, match=r"24 tokens with marks.*at most 23"):
        scoring.log_probabilities(lm, [f"{fits} cat"])


def test_what_cannot_be_asked_is_refused(load, folders):
    lm, pairs = load("bert"), toys.english(8)
    for loss in ("continuation", "critical"):
        with pytest.raises(InputError, match="whole sentences"):
            ftgd.loss_gradient(lm, pairs, loss)
    with pytest.raises(InputError, match="whole sentences"):
        probing.transfer_row(lm, pairs, "agree", Config(), {"x": [[CLS, 9, 10]]})
    with pytest.raises(InputError, match="does not know axolotl"):
        lm.encode(["the axolotl ."])
    with pytest.raises(InputError, match="holds <sep>, a mark"):
        lm.encode(["the <sep> cat ."])
    with pytest.raises(InputError, match="no token"):
        lm.encode(["  "])
    with pytest.raises(InputError, match="--bos eos"):
        opening.load_model(folders["bert"], bos="eos", scoring="pseudo")


def test_a_tokenizer_that_does_not_cut_words_is_refused(load):
    lm = load("bert")
    whole = {piece: i for i, piece in enumerate([*SPECIAL, "the cat"])}
    lm.tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(whole, unk_token="<unk>")), unk_token="<unk>"
    )
    with pytest.raises(InputError, match="where words begin"):
        lm.encode(["the cat"])


# -------------------------------------------------------------------------------- the wall between


def test_each_kind_is_told_which_way_it_is_scored(folders, tmp_path):
    for kind, said in (("bert", "a masked model"), ("t5", "an encoder-decoder")):
        with pytest.raises(InputError, match=f"{said}.*--scoring pseudo"):
            opening.load_model(folders[kind])
    toys.gpt2().model.save_pretrained(tmp_path / "gpt2")
    toys.tokenizer().save_pretrained(tmp_path / "gpt2")
    with pytest.raises(InputError, match=r"a causal language model.*leave out --scoring"):
        opening.load_model(tmp_path / "gpt2", scoring="pseudo")


def test_a_translator_gives_no_pseudo_likelihood(tmp_path):
    config = hf.MarianConfig(vocab_size=SIZE, decoder_start_token_id=PAD, **TWO, **MARKS)
    hf.MarianMTModel(config).save_pretrained(tmp_path / "marian")
    tokenizer("bert").save_pretrained(tmp_path / "marian")
    with pytest.raises(InputError, match="not trained to fill gaps"):
        opening.load_model(tmp_path / "marian", scoring="pseudo")


def test_weights_that_lack_a_part_are_refused(folders, tmp_path):
    base = hf.BertModel(hf.BertConfig(**SMALL, **MARKS))
    base.save_pretrained(tmp_path / "headless")
    tokenizer("bert").save_pretrained(tmp_path / "headless")
    with pytest.raises(InputError, match="weights lack cls"):
        opening.load_model(tmp_path / "headless", scoring="pseudo")


@pytest.fixture(scope="module")
def runs(folders, tmp_path_factory):
    """The same pairs probed with a masked and with a causal model, by the command line."""
    home = tmp_path_factory.mktemp("runs")
    toys.gpt2().model.save_pretrained(home / "gpt2")
    toys.tokenizer().save_pretrained(home / "gpt2")
    rows = [
        {"sentence_good": r.good, "sentence_bad": r.bad, "UID": r.task, "pairID": r.pair_id}
        for r in toys.english(8).itertuples()
    ]
    (home / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKSPACES_STORE", str(home / "store"))
        for kind, model in (("pseudo", folders["bert"]), ("causal", home / "gpt2")):
            status = cli.main(
                ["probe", "--model", str(model), "--pairs", str(home / "pairs.jsonl"),
                 "--out", str(home / kind), "--scoring", kind,
                 "--pairs-per-task", "8", "--methods", "gradient", "--workers", "1"]
            )  # fmt: skip
            assert status == 0
            made[kind] = tables.Run(home / kind)
    return made


def test_a_run_says_what_its_scores_are(runs, folders):
    assert {kind: run.scoring for kind, run in runs.items()} == {
        "pseudo": "pseudo",
        "causal": "causal",
    }
    run, pairs = runs["pseudo"], toys.english(8)
    lm = opening.load_model(folders["bert"], scoring="pseudo")
    margin = pairs.assign(m=slow_margins(lm, pairs)).groupby("task")["m"].mean()
    found = run.table("accuracy").set_index("task")["margin"]
    np.testing.assert_allclose(found[margin.index], margin, atol=toys.TOLERANCE)
    assert len(run.table("gradient")) == 9


def test_the_two_kinds_are_never_put_side_by_side(runs):
    one, other = runs["pseudo"], runs["causal"]
    with pytest.raises(InputError, match="different quantities"):
        comparison.compare_cells(one, other)
    with pytest.raises(InputError, match="different quantities"):
        figures.beside(lambda run: run.table("accuracy"), other, one)
    tables.same_scoring(one, one, None)
    reference, said = tables.reference_for(one)
    assert reference is None
    assert "pseudo-likelihoods" in said
    from taskspace_utils.figures import blimp_accuracy

    with pytest.raises(InputError, match="never drawn together"):
        blimp_accuracy.load(one)


def test_results_of_causal_models_keep_their_keys(folders):
    """What was stored before there was another kind of score is found again."""
    causal = cells._about_model(cells.Source(str(folders["bert"])))
    assert set(causal) == {"revision", "bos", "name", "step", "files"}
    cell = cells.Cell("accuracy", cells.Source(str(folders["bert"]), scoring="pseudo"))
    about = cells.about_cell(cell, "")
    assert about["model"]["scoring"] == "pseudo"
    assert about["pseudo"] == store.code_version("pseudo")


def test_harm_on_text_is_not_measured(folders, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("the cat .\n")
    (tmp_path / "pairs.csv").write_text(
        "good,bad,task\n" + "".join(f"the cat {w} .,the dog {w} .,t\n" for w in PIECES[:4])
    )
    status = cli.main(
        ["probe", "--model", str(folders["bert"]), "--pairs", str(tmp_path / "pairs.csv"),
         "--scoring", "pseudo", "--out", str(tmp_path / "out"),
         "--text", str(tmp_path / "text.txt")]
    )  # fmt: skip
    assert status == 2
    assert "--text: harm" in capsys.readouterr().err


@pytest.mark.parametrize("kind", list(BUILDERS))
@pytest.mark.parametrize("params", ["blocks", "last-1", "lora-2"])
def test_a_part_of_the_weights_is_that_part_of_the_gradient(kind, params, load):
    some = toys.pairs_of({"agree": [("the dog sleeps .", "the dog sleep .")] * 4})
    found = []
    for lm in (load(kind), partial.restrict(load(kind), params)):
        named = ftgd.parameters(lm.model)
        sizes = [p.numel() for p in named.values()]
        found.append(dict(zip(named, ftgd.loss_gradient(lm, some)[0].split(sizes), strict=True)))
    whole, part = found
    assert lm.name.endswith(f"+{params}")
    assert 0 < sum(map(len, part.values())) < sum(map(len, whole.values()))
    both = {
        "blocks": {"encoder", "decoder"},
        "last-1": {"decoder"},
        "lora-2": {"encoder", "decoder"},
    }
    if lm.model.config.is_encoder_decoder:  # its last block is the decoder's
        sides = {side for name in part for side in ("encoder", "decoder") if f".{side}." in name}
        assert sides == both[params]
    if params != "lora-2":
        assert part.keys() < whole.keys()
        assert not any(name.endswith(("_embeddings.weight", "shared.weight")) for name in part)
        for name, gradient in part.items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-6)
