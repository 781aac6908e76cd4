"""Any causal model from a folder scores like the oracle; what is none is refused with a remedy."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import processors

from taskspace_utils import models, scales, scoring
from taskspace_utils.store import InputError

from . import toys

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
ROPE = SMALL | {"intermediate_size": 32, "max_position_embeddings": 24, "initializer_range": 0.4}


def architectures() -> dict:
    size = len(toys.tokenizer())
    opt = {"ffn_dim": 32, "word_embed_proj_dim": 16, "max_position_embeddings": 24}
    return {
        "gpt2": lambda: toys.gpt2().model,
        "gpt_neox": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(vocab_size=size, **ROPE)),
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=size, **ROPE)),
        "opt": lambda: hf.OPTForCausalLM(
            hf.OPTConfig(vocab_size=size, init_std=0.4, pad_token_id=toys.PAD, **SMALL, **opt)
        ),
    }


def save(folder, model, tokenizer=None):
    model.save_pretrained(folder)
    (toys.tokenizer() if tokenizer is None else tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    """A folder with a tiny GPT-2 and its tokenizer."""
    return save(tmp_path / "model", toys.gpt2().model)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "opt"])
def test_architectures_score_like_the_oracle(name, tmp_path):
    torch.manual_seed(1)
    lm = models.load_model(save(tmp_path / name, architectures()[name]()))
    pairs = toys.english(8)
    oracle = toys.slow_margins(lm, pairs)
    np.testing.assert_allclose(scoring.margins(lm, pairs), oracle, rtol=0, atol=toys.TOLERANCE)
    assert np.ptp(oracle) > 0.1
    assert (lm.name, lm.context, lm.bos_id, lm.bos) == (name, 24, toys.BOS, "bos")


def test_dropout_is_off(tmp_path):
    config = toys.gpt2().model.config
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.5
    lm = models.load_model(save(tmp_path / "dropout", hf.GPT2LMHeadModel(config)))
    first, second = (scoring.margins(lm, toys.english(8)) for _ in range(2))
    assert (first == second).all()
    lm.model.train()
    assert (scoring.margins(lm, toys.english(8)) != first).any()  # so the test can fail


# ----------------------------------------------------------------------------------- BOS, only once


def with_tokens(**names) -> hf.PreTrainedTokenizerFast:
    """The toy tokenizer with exactly these special tokens declared."""
    core = toys.tokenizer().backend_tokenizer
    return hf.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", **names)


def test_bos_policies(tmp_path):
    folder = save(tmp_path / "both", toys.gpt2().model)
    with_tokens(bos_token="<bos>", eos_token="<pad>").save_pretrained(folder)
    found = {policy: models.load_model(folder, bos=policy) for policy in ("bos", "eos", "none")}
    assert {p: (lm.bos_id, lm.bos) for p, lm in found.items()} == {
        "bos": (toys.BOS, "bos"), "eos": (toys.PAD, "eos"), "none": (None, "none")
    }  # fmt: skip
    assert models.load_model(folder).bos == "bos"
    ids = found["none"].encode(["the cat ."])[0]
    assert found["bos"].encode(["the cat ."]) == [[toys.BOS, *ids]]
    assert found["eos"].encode(["the cat ."]) == [[toys.PAD, *ids]]


def test_eos_stands_in_where_there_is_no_bos(tmp_path):
    folder = save(tmp_path / "eos", toys.gpt2().model, with_tokens(eos_token="<bos>"))
    lm = models.load_model(folder)
    assert (lm.bos_id, lm.bos) == (toys.BOS, "eos")
    with pytest.raises(InputError, match="no BOS token"):
        models.load_model(folder, bos="bos")


def test_no_bos_and_none_named_is_an_error(tmp_path):
    folder = save(tmp_path / "bare", toys.gpt2().model, with_tokens())
    for policy in ("auto", "bos", "eos"):
        with pytest.raises(InputError, match="--bos none"):
            models.load_model(folder, bos=policy)
    assert models.load_model(folder, bos="none").bos_id is None
    with pytest.raises(InputError, match="must be auto, bos, eos or none"):
        models.load_model(folder, bos="cls")


def test_never_two_bos_though_the_tokenizer_adds_one_itself(tmp_path):
    core = toys.tokenizer().backend_tokenizer
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A <pad>", special_tokens=[("<bos>", toys.BOS), ("<pad>", toys.PAD)]
    )
    adds = hf.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<pad>", unk_token="<unk>"
    )
    assert adds("the cat")["input_ids"][0] == toys.BOS  # it does add one when left to itself
    lm = models.load_model(save(tmp_path / "adds", toys.gpt2().model, adds))
    plain = models.load_model(save(tmp_path / "plain", toys.gpt2().model))
    assert lm.encode(["the cat .", "a dog ."]) == plain.encode(["the cat .", "a dog ."])
    assert all(ids.count(toys.BOS) == 1 and toys.PAD not in ids for ids in lm.encode(["the cat ."]))


def test_unknown_words_are_named(folder):
    lm = models.load_model(folder)
    with pytest.raises(InputError, match="does not know axolotl, ponders"):
        lm.encode(["the cat .", "the axolotl ponders ."])


# ------------------------------------------------------------------------------------- what is none


def test_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        models.load_model(folder)


def test_folder_without_config(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        models.load_model(tmp_path)
    (tmp_path / "step-000100").mkdir()
    with pytest.raises(InputError, match="step-000100"):  # it says what the reader may have meant
        models.load_model(tmp_path)


def test_pickled_weights_are_refused_unread(folder, tmp_path):
    """The pickle would leave a mark if anything opened it."""
    mark = tmp_path / "opened"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(
        b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    )
    with pytest.raises(InputError, match=r"pickle \(pytorch_model\.bin\).*safetensors"):
        models.load_model(folder)
    assert not mark.exists()


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    mark = tmp_path / "run"
    (folder / "modeling.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError):
        models.load_model(folder)
    assert not mark.exists()


def test_masked_language_models_are_refused(tmp_path):
    config = hf.BertConfig(
        vocab_size=len(toys.tokenizer()), intermediate_size=32, initializer_range=0.4, **SMALL
    )
    folder = save(tmp_path / "bert", hf.BertForMaskedLM(config))
    with pytest.raises(InputError, match="not a causal language model"):
        models.load_model(folder)


def encoder_decoders() -> dict:
    size, few = len(toys.tokenizer()), {"decoder_attention_heads": 2, "encoder_attention_heads": 2}
    few |= {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    t5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    return {
        "t5": lambda: hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=size, **t5)),
        "bart": lambda: hf.BartForConditionalGeneration(
            hf.BartConfig(vocab_size=size, d_model=16, max_position_embeddings=24, **few, **special)
        ),
    }


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_encoder_decoders_are_refused(name, tmp_path):
    folder = save(tmp_path / name, encoder_decoders()[name]())
    with pytest.raises(InputError, match="causal language model"):
        models.load_model(folder)


def test_weights_that_lack_a_part_are_refused(folder):
    """transformers would fill the gap by chance, and say so only in its log."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match="c_fc"):
        models.load_model(folder)


def test_damaged_weights_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="model"):
        models.load_model(folder)


def test_weights_that_are_not_finite_are_named_as_such(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["transformer.h.0.mlp.c_fc.weight"][0, 0] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match="finite"):
        scoring.margins(models.load_model(folder), toys.english(4))


def test_folder_without_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(InputError, match="model"):
        models.load_model(folder)


def test_hub_ids_and_missing_folders():
    with pytest.raises(InputError, match="neither a folder here nor"):
        models.load_model("nobody/no-such-model")
    with pytest.raises(InputError, match="there is no such folder"):
        models.load_model("./no/such/folder")


# ----------------------------------------------------------------------------- names, scales, vocab


def test_names_are_names_and_never_paths(folder, tmp_path):
    lm = models.load_model(folder)
    assert lm.name == "model"
    assert lm.keys == {"model": "model", "scale": "", "seed": "", "step": ""}
    (folder / models.CARD).write_text(json.dumps({"name": "XS-seed0", "scale": "XS", "step": 3}))
    assert models.load_model(folder).keys["model"] == "XS-seed0"
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert models.load_model(copy).weights == lm.weights  # weights are known by content


def test_every_scale_can_be_read_and_is_a_gpt2():
    rows = {name: scales.load_scale(name) for name in ("XS", "S", "M", "L", "8M", "203M")}
    assert all(scale.width % scale.heads == 0 for scale in rows.values())
    with pytest.raises(InputError, match=r"no scale named 'XXL'.*XS"):
        scales.load_scale("XXL")


def test_new_models_are_the_same_for_the_same_seed_and_leave_chance_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (scales.new_model(toys.WORD_SCALE, 20, s) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.transformer.wte.weight, same.transformer.wte.weight)
    assert not torch.equal(one.transformer.wte.weight, other.transformer.wte.weight)
    assert one.lm_head.weight is one.transformer.wte.weight


def test_word_level_tokenizers_refuse_too_many_words():
    with pytest.raises(InputError, match=r"98 different words.*at most 97"):
        scales.new_tokenizer(toys.WORD_SCALE, (f"w{i}" for i in range(98)))


def test_bpe_gives_the_first_word_the_token_it_has_inside_a_sentence():
    bpe = scales.new_tokenizer(toys.BPE_SCALE, ["the cat sees the cat"] * 20)
    first = bpe("cat", add_special_tokens=False)["input_ids"]
    inside = bpe("the cat", add_special_tokens=False)["input_ids"]
    assert inside[-len(first) :] == first
    text = "Añb “quoted”\t☃ 𝄞"
    ids = bpe(text, add_special_tokens=False)["input_ids"]
    assert bpe.decode(ids).lstrip() == text  # every text can be written, and comes back
