"""Models and tokenizers that can't score a sentence, and a hub that gives nothing: each verdict.

Every case is one command; it must end with status 2, one message and nothing written.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import unicodedata
from pathlib import Path

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE, WordLevel

from taskspace_utils import cli, legibility, models, opening, scales
from taskspace_utils.pairs import read_pairs
from taskspace_utils.store import InputError

TEXT = "the cat cats dog dogs sleep sleeps ."
WORDS = TEXT.split()
CYRILLIC = [(f"кот {verb} .", f"коты {verb} .") for verb in ("спит", "ест", "поёт", "ждёт")]
PAIRS = [(f"the {n} sleeps .", f"the {n}s sleeps .") for n in ("cat", "dog")] * 2


def rows_of(pairs: list[tuple[str, str]]) -> list[dict]:
    return [
        {"sentence_good": good, "sentence_bad": bad, "UID": "agree", "pairID": str(i)}
        for i, (good, bad) in enumerate(pairs)
    ]


def write(path: Path, pairs: list[tuple[str, str]]) -> Path:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows_of(pairs)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def words_tokenizer():
    return scales.new_tokenizer(scales.load_scale("XS"), WORDS)


def gpt2_config(size: int, **more) -> hf.GPT2Config:
    names = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return hf.GPT2Config(
        vocab_size=size, n_positions=64, n_embd=8, n_layer=1, n_head=1, **names | more
    )


def bytes_tokenizer(normalizer=None) -> hf.PreTrainedTokenizerFast:
    """A letter of ASCII is one token, any other letter a token for each of its bytes."""
    names = ["<bos>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(BPE({name: i for i, name in enumerate(names)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if normalizer:
        core.normalizer = normalizer
    return hf.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<bos>")


def letters_tokenizer() -> hf.PreTrainedTokenizerFast:
    """Latin letters only, and no token for what is unknown: other letters vanish."""
    names = ["<bos>", *"abcdefghijklmnopqrstuvwxyz."]
    core = Tokenizer(BPE({name: i for i, name in enumerate(names)}, []))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return hf.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<bos>")


def saved(folder: Path, model, tokenizer) -> Path:
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def causal(folder: Path, tokenizer) -> Path:
    torch.manual_seed(0)
    return saved(folder, hf.GPT2LMHeadModel(gpt2_config(len(tokenizer))), tokenizer)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Scores and probes a folder that must be refused; gives the message."""
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))

    def run(model, pairs=PAIRS, *more: str) -> str:
        path = pairs if isinstance(pairs, Path) else write(tmp_path / "pairs.jsonl", pairs)
        for command in ("score", "probe"):
            out = tmp_path / "out"
            status = cli.main(
                [command, "--model", str(model), "--pairs", str(path), "--out", str(out), *more]
            )
            said = capsys.readouterr().err
            assert status == 2, said
            assert "Traceback" not in said
            assert not out.exists()
        return " ".join(said.split())

    return run


# ------------------------------------------------------------------------------- what a model is


def heads(size: int) -> dict:
    few = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    image = hf.ViTConfig(image_size=8, patch_size=4, intermediate_size=8, **few)
    return {
        "classes": (hf.GPT2ForSequenceClassification(gpt2_config(size)), "sequence classification"),
        "tokens": (hf.GPT2ForTokenClassification(gpt2_config(size)), "token classification"),
        "images": (hf.ViTForImageClassification(image), "image classification"),
        "pixels": (hf.ViTModel(image), "type vit.*images or sounds"),
    }


@pytest.mark.parametrize("name", ["classes", "tokens", "images", "pixels"])
def test_a_model_that_predicts_no_words_is_named_for_what_it_is(name, tmp_path, refused):
    """A classifier's body would load as a language model, its embeddings as a head, and score."""
    model, said = heads(len(words_tokenizer()))[name]
    tokenizer = None if name in ("images", "pixels") else words_tokenizer()
    folder = saved(tmp_path / name, model, tokenizer)
    assert re.search(said, refused(folder))
    if name == "classes":  # so it would, if nobody looked
        assert models.load_model(folder).name == "classes"


def test_a_masked_model_with_hardly_any_weights_is_refused_too(tmp_path, refused):
    """Its later words change earlier predictions by less than a test of them notices."""
    tokenizer = words_tokenizer()
    few = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = hf.BertConfig(
        vocab_size=len(tokenizer), intermediate_size=8, initializer_range=1e-4, **few
    )
    for kind in (hf.BertForMaskedLM, hf.BertLMHeadModel):
        folder = saved(tmp_path / kind.__name__, kind(config), tokenizer)
        assert "a masked model" in refused(folder)
        assert "--scoring pseudo" in refused(folder)


def test_one_that_looks_back_only_is_a_causal_model_whatever_its_family(tmp_path):
    tokenizer = words_tokenizer()
    few = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = hf.BertConfig(
        vocab_size=len(tokenizer), intermediate_size=8, is_decoder=True, bos_token_id=0,
        pad_token_id=1, eos_token_id=None, **few,
    )  # fmt: skip
    folder = saved(tmp_path / "decoder", hf.BertLMHeadModel(config), tokenizer)
    assert opening.load_model(folder).name == "decoder"
    with pytest.raises(InputError, match=r"--scoring (causal|pseudo)"):
        opening.load_model(folder, scoring="pseudo")


def test_scoring_has_two_kinds(tmp_path):
    with pytest.raises(InputError, match="causal or pseudo"):
        opening.load_model(causal(tmp_path / "gpt2", words_tokenizer()), scoring="mean")


# --------------------------------------------------------------------- what a tokenizer can't write


def test_a_tokenizer_that_drops_letters_without_a_word(tmp_path, refused):
    folder = causal(tmp_path / "letters", letters_tokenizer())
    said = refused(folder, [*PAIRS, ("the naïve cat .", "the naïve cats .")])
    assert "drops ï without a word" in said
    assert "1 of 5 pairs" in said
    assert "pairID '4': 'the naïve cat .'" in said
    assert "4 of 4 pairs" in refused(folder, CYRILLIC)


def test_a_tokenizer_of_words_that_has_no_name_for_the_unknown(tmp_path, refused):
    core = Tokenizer(WordLevel({name: i for i, name in enumerate(["<bos>", *WORDS])}))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<bos>")
    said = refused(causal(tmp_path / "words", tokenizer), [*PAIRS, ("the bird .", "the birds .")])
    assert "the tokenizer of words can't write one of these sentences (WordLevel error" in said


def test_a_script_that_the_vocabulary_does_not_have(tmp_path, refused):
    assert "does not know кот" in refused(causal(tmp_path / "words", words_tokenizer()), CYRILLIC)


def test_a_tokenizer_that_folds_what_the_pairs_are_about(tmp_path, refused, capsys, monkeypatch):
    lower = causal(tmp_path / "lower", bytes_tokenizer(normalizers.Lowercase()))
    names = [(f"the {name} .", f"the {name.lower()} .") for name in ("Cat", "Dog", "Ann", "Bo")]
    said = refused(lower, names)
    assert "writes good and bad alike in all pairs of agree" in said
    pairs = read_pairs(write(tmp_path / "one.jsonl", [*PAIRS, names[0]]))
    (said,) = legibility.check_tokens(opening.load_model(lower), pairs)
    assert "in 1 of 5 pairs, which count as ties" in said
    assert "the Cat ." in said


def test_another_script_spelt_in_bytes_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "store"))
    folder = causal(tmp_path / "bytes", bytes_tokenizer())
    for pairs, expected in ((CYRILLIC, True), (PAIRS, False)):
        path = write(tmp_path / "pairs.jsonl", pairs)
        out = tmp_path / f"out-{expected}"
        arguments = ["score", "--model", str(folder), "--pairs", str(path), "--out", str(out)]
        assert cli.main(arguments) == 0
        said = capsys.readouterr().err
        assert ("8 of 8 sentences have more tokens than characters" in said) == expected
        assert ("more tokens" in said) == expected
        out = tmp_path / f"run-{expected}"
        arguments = ["probe", *arguments[1:-1], str(out), "--methods", "gradient", "--no-report",
                     "--workers", "1"]  # fmt: skip
        assert cli.main(arguments) == 0
        capsys.readouterr()
        doubts = json.loads((out / "manifest.json").read_text())[
            "doubts"
        ]  # PAIRS stand there twice
        assert ("more tokens than characters" in str(doubts)) == expected
        assert ("2 pairs stand in their task before" in str(doubts)) != expected


# ---------------------------------------------------------------------------------- mixed encodings


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


MIXED = {
    "read as cp1252": ("das MÃ¤dchen lacht .", "das MÃ¤dchen lachen .", "should be 'das Mädchen"),
    "lost": ("das M\ufffddchen lacht .", "das M\ufffddchen lachen .", "U+FFFD"),
    "one composed": ("das Mädchen lacht .", nfd("das Mädchen lachen ."), "accents in one way"),
    "only composed": ("das Mädchen lacht .", nfd("das Mädchen lacht ."), "the same letters"),
    "mark": ("\ufeffthe cat sleeps .", "the cat sleep .", "U+FEFF"),
    "null": ("the cat\x00 sleeps .", "the cat sleep .", "U+0000"),
}


@pytest.mark.parametrize("what", MIXED)
def test_pairs_of_mixed_encodings(what, tmp_path, refused, capsys):
    good, bad, said = MIXED[what]
    path = write(tmp_path / "mixed.jsonl", [*PAIRS, (good, bad)])
    found = refused(causal(tmp_path / "bytes", bytes_tokenizer()), path)
    assert said in found
    assert "task 'agree', pairID '4'" in found
    assert cli.main(["check-pairs", str(path)]) == 2
    assert re.search(f"line 5: .*{re.escape(said)}", capsys.readouterr().out)


def test_sound_text_of_any_script_is_left_alone(tmp_path):
    sound = [
        ("das Mädchen lacht „leise“ .", "das Mädchen lachen „leise“ ."),
        (nfd("das Mädchen lacht ."), nfd("das Mädchen lachen .")),
        ("кот спит .", "коты спит ."),
        ("猫が寝る。", "猫は寝る。"),
        ("می‌خواهم .", "می‌خواهد ."),
        ("à Â é Ã © 5 €", "à Â é Ã © 6 €"),
        ("the cat\tsleeps .", "the cat\tsleep ."),
        ("tamaño", "tamaña"),
    ]
    pairs = read_pairs(write(tmp_path / "sound.jsonl", sound))
    assert legibility.encoding_faults(pairs) == []


def test_files_of_two_encodings_in_one_folder(tmp_path, refused):
    folder = tmp_path / "both"
    folder.mkdir()
    text = "good,bad,task\n" + "".join(
        f"das Mädchen {i} .,das Mädchens {i} .,t\n" for i in range(4)
    )
    (folder / "a.csv").write_bytes(text.encode("utf-8-sig"))
    model = causal(tmp_path / "bytes", bytes_tokenizer())
    for encoding in ("latin-1", "utf-16", "utf-16-le"):
        (folder / "b.csv").write_bytes(text.encode(encoding))
        said = refused(model, folder)
        assert "b.csv" in said, encoding
        assert "a.csv" not in said


# -------------------------------------------------------------------------------------------- a hub


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does: by the name of what is asked for."""

    ANSWERS = {"gated": (403, "GatedRepo"), "lost": (404, "RepoNotFound"), "old": (404, "")}  # noqa: RUF012

    def do_GET(self) -> None:
        kind = next((kind for kind in self.ANSWERS if f"someone/{kind}" in self.path), "lost")
        status, code = self.ANSWERS[kind]
        self.send_response(status)
        self.send_header("X-Error-Code", code or "RevisionNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_) -> None:
        """Say nothing in the terminal."""


@pytest.fixture(scope="module")
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


ASKED = {
    "gated": (["someone/gated"], "behind a gate.*Accept its terms at .*/someone/gated.*HF_TOKEN"),
    "lost": (
        ["someone/lost"],
        "someone/lost: neither a folder here nor a model that the hub shows",
    ),
    "old": (["someone/old", "--revision", "step7"], "someone/old: .*no revision 'step7'"),
}
AWAY = "out of reach .no answer.*Name a folder"
SCRIPT = """
import sys
from taskspace_utils import cli
for command in sys.argv[2:]:
    print(cli.main(["score", *command.split(), *sys.argv[1].split()]))
    print("--", file=sys.stderr)
"""


@pytest.mark.parametrize("there", [True, False])
def test_a_hub_that_gives_nothing(there, hub, tmp_path):
    """In a process of its own: the hub's address is read when its library is imported."""
    kinds = ("causal", "pseudo") if there else ("causal",)
    cases = ASKED.values() if there else [(["someone/away"], AWAY)]
    asked = [(kind, *case) for case in cases for kind in kinds]
    environment = os.environ | {
        "HF_ENDPOINT": hub if there else "http://127.0.0.1:9", "NO_PROXY": "*", "HF_TOKEN": "",
        "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "home"),
        "TASKSPACES_STORE": str(tmp_path / "store"),
    }  # fmt: skip
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    commands = [f"--scoring {kind} --model {' '.join(model)}" for kind, model, _ in asked]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"--pairs {pairs} --out {tmp_path / 'out'}", *commands],
        env=environment, capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.stdout.split() == ["2"] * len(asked), done.stderr
    said = [" ".join(part.split()) for part in done.stderr.split("--\n")]
    for text, (_, _, expected) in zip(said, asked, strict=False):
        assert re.search(expected, text)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scoring", ["causal", "pseudo"])
def test_a_hub_that_must_not_be_asked(scoring, refused):
    said = refused("someone/away", PAIRS, "--scoring", scoring)
    assert "out of reach (HF_HUB_OFFLINE is set)" in said


BROKEN_CARDS = ["{", "[]", '{"name": ["a"]}', '{"step": "last"}']


@pytest.mark.parametrize("card", BROKEN_CARDS)
def test_a_card_that_was_cut_off(card, tmp_path, refused):
    tokens = words_tokenizer()
    folder = saved(tmp_path / "model", hf.GPT2LMHeadModel(gpt2_config(len(tokens))), tokens)
    (folder / models.CARD).write_text(card, encoding="utf-8")
    assert re.search(r"taskspaces\.json: broken.*train it again", refused(folder))


@pytest.mark.parametrize("change", [{"n_head": 0}, {"n_layer": "x"}])
def test_a_configuration_that_no_model_can_have(change, tmp_path, refused):
    tokens = words_tokenizer()
    folder = saved(tmp_path / "model", hf.GPT2LMHeadModel(gpt2_config(len(tokens))), tokens)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    assert "its configuration or tokenizer is broken" in refused(folder)


def test_a_tokenizer_of_a_larger_model(tmp_path, refused):
    tokens = words_tokenizer()
    folder = saved(tmp_path / "model", hf.GPT2LMHeadModel(gpt2_config(len(tokens))), None)
    tokens.add_tokens([*(f"dog{i}" for i in range(4)), "the", "sleep", "sleeps", "."])
    tokens.save_pretrained(folder)
    more = [(f"the dog{i} sleeps .", f"the dog{i} sleep .") for i in range(4)]
    assert re.search("writes token .* not of one model", refused(folder, more))
