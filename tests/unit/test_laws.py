"""Chapter 18: the floor against its own sampler, laws that were planted, and shapes of curves."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from taskspace_utils import grammar, inventory, load_grammar, load_model, store
from taskspace_utils.figures import law as law_figure
from taskspace_utils.figures import sharp_curves, sharpness
from taskspace_utils.store import InputError
from taskspace_utils.studies import annealing, emergence, entropy, laws

LEXICON = """
features: {num: [sg, pl], tense: [present, past]}
categories:
  noun:
    forms: [num=sg, num=pl]
    groups: [{words: [boy boys, girl girls, king kings]}]
  verb:
    forms: [tense=past]
    groups: [{words: [sang, slept]}]
classes: {person: noun}
"""
LABELS = "phenomenon: p, field: f, rule: r, frame: a, family: y, demands: d, example: e"
PARADIGMS = f"""
- task: one
  {LABELS.replace(", ", chr(10) + "  ")}
  weight: 2
  contrasts:
    - good: the {{N person num=X}} {{V verb tense=past}} .
      bad: the {{N}} {{W verb tense=past}} {{V}} .
    - good: the {{N person num=sg}} saw the {{M person num=X}} .
      bad: the {{N}} saw {{M}} .
- task: silent
  {LABELS.replace(", ", chr(10) + "  ")}
  weight: 0
  contrasts:
    - {{good: "who {{V verb tense=past}} ?", bad: "{{V}} who ?"}}
"""
CORPUS = """
- {name: early, weight: 1, text: "the {N person num=X} {A? verb tense=past} {V verb tense=past} ."}
- {name: three, text: "{N person num=pl} {M person num=pl} {O person num=pl} ?"}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    for name, text in (("lexicon", LEXICON), ("paradigms", PARADIGMS), ("corpus", CORPUS)):
        (folder / f"{name}.yml").write_text(text)
    return folder


class Every:
    """A source of chance that takes every way through a program, one a run, and its probability."""

    def __init__(self) -> None:
        self.path: list[list[int]] = []  # of each choice: what is taken, out of how many

    def start(self) -> Every:
        self.place, self.probability = 0, 1.0
        return self

    def _take(self, shares: list[float]) -> int:
        if self.place == len(self.path):
            self.path.append([0, len(shares)])
        taken = self.path[self.place][0]
        self.place += 1
        self.probability *= shares[taken] / sum(shares)
        return taken

    def choice(self, some):
        return some[self._take([1.0] * len(some))]

    def choices(self, some, cum_weights):
        return [some[self._take([b - a for a, b in pairwise([0.0, *cum_weights])])]]

    def next(self) -> bool:
        while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
            self.path.pop()
        if self.path:
            self.path[-1][0] += 1
        return bool(self.path)


@pytest.fixture(scope="module")
def exact(tiny):
    """The distribution of the corpus's own sampler, by walking all of its ways."""
    language, every, found = load_grammar(tiny), Every(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grammar.random, "Random", lambda _: every.start())
        while True:
            (sentence,) = language.corpus(1, 0)
            found[sentence] = found.get(sentence, 0.0) + every.probability
            if not every.next():
                return found


def test_the_floor_knows_the_sampler_sentence_by_sentence(tiny, exact):
    assert math.fsum(exact.values()) == pytest.approx(1)
    assert len(exact) == 3 * 12 + 6  # the twelve of two constructions count once
    floor = entropy.Floor(tiny)
    assert math.fsum(writer.share for writer in floor.writers) == pytest.approx(1)
    for sentence, probability in exact.items():
        assert floor.probability(sentence) == pytest.approx(probability, rel=1e-9)
    for never in ("who sang ?", "the boy sang", "boy girls kings ?", "the boys saw the boys ."):
        assert floor.probability(never if never[-1] in ".?" else f"{never} ?") == 0


def test_a_sentence_of_two_constructions_by_hand(tiny):
    """Nouns weigh 1, 1/2, 1/3; verbs 1, 1/2. Of weights 2, 1, 1 a contrast of the first has 1/4."""
    noun, verb = 6 / 11, 1 / 3  # boy; slept
    one = 1 / 4 * 1 / 2 * noun * verb
    early = 1 / 4 * 1 / 4 * noun * (verb + 0)  # number and the optional word: four settings
    assert entropy.Floor(tiny).probability("the boys slept .") == pytest.approx(one + early)
    # the word of another slot is drawn again, evenly from the two that are left
    saw = 1 / 4 * 1 / 2 * noun * (3 / 11 + noun / 2)
    assert entropy.Floor(tiny).probability("the boy saw the girl .") == pytest.approx(saw)


def test_beginnings_are_sums_over_their_sentences_and_surprises_add_up(tiny, exact):
    floor = entropy.Floor(tiny)
    for start in ("", "the", "the boys", "the boy saw", "kings", "kings boys"):
        words = start.split()
        whole = [p for s, p in exact.items() if s.split()[: len(words)] == words]
        assert floor.probability(start) == pytest.approx(math.fsum(whole))
    for sentence, probability in exact.items():
        found = floor.surprises(sentence)
        assert sum(found) == pytest.approx(-math.log(probability))
        assert min(found) > -1e-12
    assert floor.surprises("the boy saw the girl .")[-1] == pytest.approx(0)  # the mark had to come


def test_what_is_left_out_is_shared_out(tiny, exact):
    out = {"the boy sang .", "the boys slept .", "no such sentence ."}
    floor, rest = entropy.Floor(tiny, exclude=out), {s: p for s, p in exact.items() if s not in out}
    assert floor.excluded == pytest.approx(1 - math.fsum(rest.values()))
    found = np.exp(floor.log_probabilities(rest))
    assert found.sum() == pytest.approx(1)
    assert floor.log_probabilities(["the boy sang ."])[0] == -np.inf
    text = ["the girl sang .", "the boy saw the girl ."]
    by_hand = -sum(math.log(rest[s] / math.fsum(rest.values())) for s in text) / 10
    assert floor.loss(text) == pytest.approx(by_hand)
    with pytest.raises(InputError, match=r"never says 'the boy sang \."):
        floor.loss(["the girl sang .", "the boy sang ."])
    with pytest.raises(InputError, match="exclude less"):
        entropy.Floor(tiny, exclude=exact)


def test_no_model_beats_the_floor_and_the_language_itself_reaches_it(tiny, exact):
    """Gibbs: the expected loss of any other distribution is higher (18.2)."""
    floor = entropy.Floor(tiny)
    p = np.array([*exact.values()])
    q = np.random.default_rng(0).dirichlet(np.ones(len(p)))
    own = np.exp(floor.log_probabilities(exact))
    assert (
        -(p * np.log(q)).sum() > -(p * np.log(own)).sum() == pytest.approx(-(p * np.log(p)).sum())
    )


def test_of_the_real_grammar_two_samples_have_one_floor_and_frequencies_agree():
    language, floor = load_grammar(), entropy.Floor()
    assert math.fsum(w.share for w in floor.writers) == pytest.approx(1)
    assert floor.probability("") == pytest.approx(1)
    means, errors = [], []
    for seed in (7, 8):
        lines = language.corpus(400, seed)
        surprise = -floor.log_probabilities(lines)
        means.append(surprise.mean())
        errors.append(surprise.std() / math.sqrt(len(lines)))
    assert abs(means[0] - means[1]) < 3.5 * math.hypot(*errors)
    often = {s: floor.probability(s) for s in ("the cup shatters .", "the man himself laughed .")}
    drawn = language.corpus(12_000, 9)
    for sentence, probability in often.items():
        expected = probability * len(drawn)
        assert abs(drawn.count(sentence) - expected) < 4.5 * math.sqrt(expected)


# ----------------------------------------------------------------------------------------- the laws

TRUE = laws.Law(2.0, 30.0, 0.45, 900.0, 0.6)


def planted(noise: float = 0.0, seeds=(0, 1)) -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for width in laws.WIDTHS:
        for seed in seeds:
            for step in (s for s in laws.STEPS if s >= 100):
                n, d = laws.parameters(width), 450 * step
                regret = (TRUE.loss(n, d) - TRUE.floor) * math.exp(rng.normal(0, noise))
                rows.append((width, n, seed, step, d, TRUE.floor + regret))
    return pd.DataFrame(rows, columns=["width", "parameters", "seed", "step", "tokens", "loss"])


@pytest.mark.parametrize("floor", [2.0, None])
def test_a_planted_law_is_found(floor):
    found = laws.fitted(planted(), floor)
    for name, value in vars(TRUE).items():
        assert getattr(found, name) == pytest.approx(value, rel=2e-3), name


def test_intervals_hold_what_was_planted_and_a_wrong_floor_spoils_exponents():
    table = planted(0.02)
    drawn = laws.redrawn(table, 2.0, draws=20)
    for name in ("alpha", "beta"):
        low, high = drawn[name].quantile([0.01, 0.99])
        assert low < getattr(TRUE, name) < high
        assert high - low < 0.1
    assert (drawn["floor"] == 2.0).all()
    assert laws.fitted(table, 0.0).alpha < 0.3 * TRUE.alpha  # the floor is read as slowness
    with pytest.raises(InputError, match="not above the floor"):
        laws.fitted(table, 2.9)


def test_redrawn_laws_of_two_fits_are_of_the_same_trainings(monkeypatch):
    """Prediction 4 compares them draw by draw."""
    seen = {}
    for floor in (2.0, None):
        tables = seen[floor] = []
        real = laws.fitted

        def noted(table, known=None, start=None, tables=tables, real=real):
            tables.append(table[["width", "seed"]].drop_duplicates().to_numpy().tolist())
            return real(table, known, start)

        monkeypatch.setattr(laws, "fitted", noted)
        laws.redrawn(planted(0.02, (0,)), floor, draws=3)
        monkeypatch.undo()
    assert seen[2.0] == seen[None]


def test_the_frontier_is_where_both_terms_fall_alike():
    """N grows as C^(beta / (alpha + beta)): the derivative of (18.3) along C = 6ND."""
    compute = np.geomspace(1e10, 1e13, 4)
    best, loss = laws.frontier(TRUE, np.geomspace(1e2, 1e8, 4000), compute)
    slope = np.polyfit(np.log(compute), np.log(best), 1)[0]
    assert slope == pytest.approx(TRUE.beta / (TRUE.alpha + TRUE.beta), abs=5e-3)
    tokens = compute / 6 / best
    marginal = TRUE.alpha * TRUE.a * best**-TRUE.alpha / (TRUE.beta * TRUE.b * tokens**-TRUE.beta)
    np.testing.assert_allclose(marginal, 1, atol=2e-2)
    np.testing.assert_allclose(loss, TRUE.loss(best, tokens))


def test_parameters_are_those_of_a_new_model_less_its_embeddings():
    from taskspace_utils.scales import new_model

    for width in (12, 48, 96):
        model = new_model(laws.scale_of(width), 50, 0)
        shown = {*model.transformer.wte.parameters(), *model.transformer.wpe.parameters()}
        assert laws.parameters(width) == sum(
            p.numel() for p in model.parameters() if p not in shown
        )
    own, s = vars(laws.scale_of(64)), vars(laws.load_scale("S"))
    assert {k: v for k, v in own.items() if k != "name"} == {
        k: v for k, v in s.items() if k != "name"
    }
    assert [laws.scale_of(w).lr for w in (12, 128)] == [0.01, 0.002]


def test_a_short_training_is_the_beginning_of_a_long_one_and_is_scored(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path))
    corpus = laws.text("smoke", 2300, 30)
    assert not laws.excluded("smoke") & {*corpus.train, *corpus.held_out["held-out"]}
    longer = laws.losses(laws.trained(12, 0, 35, corpus), 12, 35)
    assert longer["step"].tolist() == [0, 25, 35]
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path / "other"))
    folder = laws.trained(12, 0, 25, corpus)
    pd.testing.assert_frame_equal(laws.losses(folder, 12, 25), longer.iloc[:2])
    models = [entry for entry in inventory.entries() if entry.kind == "model"]
    assert [entry.why for entry in models] == [""]  # nothing for `store prune` to remove
    scores = laws.scored(folder, 12, 25, "smoke")
    assert scores.groupby("step")["task"].nunique().tolist() == [5, 5]


def test_a_branch_goes_on_with_the_next_sentences_and_a_falling_rate(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path))
    corpus, rates, read = laws.text("smoke", 2300, 30), [], []
    folder = laws.trained(12, 0, 25, corpus)
    real, step = annealing.sequence_log_probabilities, torch.optim.AdamW.step

    def noted(optimiser, *given):
        rates.append(optimiser.param_groups[0]["lr"])
        return step(optimiser, *given)

    def seen(model, ids):
        read.extend(map(tuple, ids))
        return real(model, ids)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    monkeypatch.setattr(annealing, "sequence_log_probabilities", seen)
    found = annealing.annealed(folder, 12, 0, corpus, start=25, steps=4)
    np.testing.assert_allclose(rates, [0.01, 0.0075, 0.005, 0.0025])
    kept = laws.losses(folder, 12, 25).set_index("step")["loss"]
    assert found.set_index("step")["loss"][25] == pytest.approx(kept[25])
    assert found.set_index("step")["loss"][29] < kept[25]
    words = load_model(folder / "step-000025").tokenizer
    order = np.arange(len(corpus.train))
    np.random.default_rng([0, 0]).shuffle(order)
    due = [corpus.train[i] for i in order[25 * 64 : 29 * 64]]
    assert [words.decode(ids[1:]) for ids in read] == due


# ------------------------------------------------------------------------------------ sharp curves


def test_sharpness_by_hand():
    steps = laws.STEPS[1:]
    x = np.log2(steps)
    assert emergence.sharpness(steps, x) == pytest.approx(1 / 7, rel=0.03)  # alike in each doubling
    jump = (np.array(steps) > 300).astype(float)
    assert emergence.sharpness(steps, jump) == 1
    assert emergence.sharpness(steps, 3 * jump - 7) == 1  # a ruler's zero and unit are nothing
    dips = [0.5, 0.2, 0.2, 0.5, 0.5, 0.8]
    assert emergence.sharpness([25, 50, 100, 200, 400, 800], dips) == pytest.approx(0.5)
    assert math.isnan(emergence.sharpness([1, 2, 4], [3, 2, 1]))
    assert emergence.sharpness([25, 35, 50], [0, 0.6, 1]) == 1  # 25 to 50; 35 is half a doubling


def test_a_wobble_is_no_jump():
    steps = [25, 50, 100, 200, 400, 800]
    wobble = [0.0, 1.0, 3.0, 1.0, 3.0, 4.0]  # a ramp that runs ahead and comes back
    assert emergence.sharpness(steps, wobble) == pytest.approx(0.5)
    np.testing.assert_allclose(emergence.calm(wobble), [0, 1, 2, 2, 3, 4])
    assert emergence.sharpness(steps, emergence.calm(wobble)) == pytest.approx(0.25)
    jump = [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(emergence.calm(jump), jump)
    table = curves(0.1)
    pd.testing.assert_frame_equal(emergence.shapes(table, calmed=True), emergence.shapes(table))


def test_a_smooth_margin_makes_a_jump_where_pairs_are_alike():
    """With a small spread the accuracy of a margin that climbs evenly is a step (18.5)."""
    steps = np.array(laws.STEPS[1:], float)
    margin = np.linspace(-2, 2, len(steps)) + 0.1
    shape = []
    for spread in (0.05, 1.0, 20.0):
        curve = emergence.smooth(steps, margin, np.full(len(steps), spread))
        shape.append(emergence.sharpness(steps, curve))
    assert shape[0] == pytest.approx(1, abs=1e-3)
    assert shape[0] > shape[1] > shape[2]
    assert shape[2] == pytest.approx(1 / 7, rel=0.1)
    draws = np.random.default_rng(0).normal(0.7, 2.0, 100_000)
    assert emergence.implied(0.7, 2.0) == pytest.approx((draws > 0).mean(), abs=0.006)


def curves(width: float, seeds=(0, 1)) -> pd.DataFrame:
    """Tasks whose margin rises as a sigmoid over doublings, this wide; one that is never learnt."""
    rows = []
    for seed in seeds:
        for number, task in enumerate(("early", "middle", "late", "never")):
            for step in laws.STEPS:
                rise = norm.cdf((math.log2(max(step, 1)) - 6 - number) / width)
                margin = -1 + 4 * rise * (task != "never")
                rows.append((64, seed, step, task, norm.cdf(margin), margin, 1.0))
    return pd.DataFrame(
        rows, columns=["width", "seed", "step", "task", "accuracy", "margin", "margin_sd"]
    )


def test_shapes_tell_a_jump_from_a_ramp():
    ramp, jump = (emergence.shapes(curves(width)) for width in (3.0, 0.1))
    assert set(ramp["task"]) == {"early", "middle", "late"}  # what isn't learnt has no shape
    assert len(ramp) == 6
    assert ramp["margin"].max() < 0.3 < 0.9 < jump["margin"].min()
    assert (ramp["accuracy"] - ramp["smooth"]).abs().max() < 0.15
    assert (jump["accuracy"] - jump["smooth"]).min() > 0.4
    family = pd.Series({"early": "a", "middle": "b", "late": "c"})
    found = emergence.over_families(jump, "margin", family)
    assert found.value == pytest.approx(jump["margin"].mean())
    assert found.low <= found.value <= found.high
    assert found.n_families == 3


# ----------------------------------------------------------------------------------------- figures


def test_figures_draw_what_was_planted():
    table = planted().assign(run="reference")
    table["regret"] = table["loss"] - TRUE.floor
    live = table[(table["width"] == 16) & (table["seed"] == 0)].assign(run="live")
    drawn = law_figure.load(pd.concat([table, live]), TRUE, "laptop")
    np.testing.assert_allclose(drawn["law"], drawn["regret"])  # no noise: points lie on their lines
    figure = law_figure.plot(drawn)
    assert len(figure.axes[0].get_legend().get_texts()) == len(laws.WIDTHS)
    names = ["late", "early"]
    some = sharp_curves.load(curves(0.5), names, 64)
    assert list(dict.fromkeys(some["task"])) == names
    assert (some["step"] >= emergence.FIRST).all()
    assert [ax.get_title() for ax in sharp_curves.plot(some).axes[:2]] == names
    means = sharpness.load(emergence.shapes(curves(0.5)))
    assert len(means) == 3
    assert len(sharpness.plot(means).axes) == 2


# --------------------------------------------------------------------------------------- as shipped


def test_the_shipped_laws_are_whole_and_what_their_script_would_make():
    table, tasks, annealed, about = laws.shipped()
    before = annealed.merge(table, on=["width", "seed", "step"], suffixes=("", "_kept"))
    assert len(before) == len(annealed) / 2 >= 4
    np.testing.assert_allclose(before["loss"], before["loss_kept"], atol=1e-3)
    for value in ("width", "seed"):
        assert sorted(table[value].unique()) == sorted(about[f"{value}s"])
    grid = len(about["widths"]) * len(about["seeds"]) * len(about["steps"])
    assert len(table) == grid == len(tasks.groupby(["width", "seed", "step"]))
    assert table.notna().all(axis=None)
    assert tasks.notna().all(axis=None)
    assert set(tasks["task"]) == set(load_grammar().tasks()["task"])
    assert about["grammar"] == store.tree_hash(store.data_path("grammar").glob("*.yml"))
    assert (table["parameters"] == table["width"].map(laws.parameters)).all()
    start = table[table["step"] == 0]
    assert np.allclose(start["loss"], math.log(about["vocabulary"] + 3), atol=0.3)
    assert table["tokens"].max() < 8 * 64 * max(about["steps"])
    assert about["corpus"]["sentences"] >= 64 * max(about["steps"])  # nothing is read twice
