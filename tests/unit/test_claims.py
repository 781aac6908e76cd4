"""The ledger's rules on worked cases and on all numbers; estimands on runs whose truth is known."""

from __future__ import annotations

import importlib.util
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from taskspace_utils import claims, estimands, families, spaces
from taskspace_utils.hypotheses import lexical_space, same_label
from taskspace_utils.measured import Measured, NotMeasured, correlation, estimate
from taskspace_utils.store import InputError, data_path
from taskspace_utils.tables import TABLES, read_table, write_run

LEDGER = claims.ledger()
FIGURES = {"isolation", "structure", "hypothesis_fit", "scale_similarity", "step_similarity"}
FIGURES |= {"stability"}

# ------------------------------------------------------------------------------------------- ledger


def test_every_claim_has_its_findings_words_and_every_finding_a_claim():
    assert {claim.finding for claim in LEDGER} == {"F1", "F2", "F3", "F4", "F5"}
    assert all(claim.id.startswith(claim.finding) for claim in LEDGER)
    assert all(claim.decided.startswith("2026-11-21") for claim in LEDGER)
    assert all(claim.minimum_seeds == 5 for claim in LEDGER)


def test_every_claim_has_a_figure_and_every_figure_of_results_a_claim():
    assert {f for claim in LEDGER for f in (claim.figure, *claim.shown_also)} == FIGURES
    there = {f for f in FIGURES if importlib.util.find_spec(f"taskspace_utils.figures.{f}")}
    assert there == FIGURES


def test_variants_are_choices_that_the_paper_left_open():
    elements = {row["element"] for row in yaml.safe_load(data_path("paper.yml").read_text())}
    assert {variant["choice"] for claim in LEDGER for variant in claim.variants} <= elements


def test_three_choices_are_run_both_ways_where_the_paper_file_says():
    rows = yaml.safe_load(data_path("paper.yml").read_text())
    both = {row["element"]: row["both_ways"] for row in rows if "both_ways" in row}
    assert len(both) == 3
    for choice, text in both.items():
        named = {c.id for c in LEDGER if any(v["choice"] == choice for v in c.variants)}
        assert named == {c.id for c in LEDGER if c.id in text}, choice


CHANGES = [
    ({"rule": "larger"}, "rule is one of"),
    ({"kind": "proof"}, "kind is one of"),
    ({"source": "rumour"}, "source is one of"),
    ({"smallest": 0}, "smallest must be a number above 0"),
    ({"smallest": True}, "smallest must be"),
    ({"words": " "}, "words should be text"),
    ({"estimand": "nothing"}, "no estimand named"),
    ({"estimand": "pd"}, "no estimand named"),
    ({"options": {"rung": "x"}}, "options of own_accuracy: missing"),
    ({"options": "x"}, "options should be a mapping"),
    ({"attempted": {}}, "attempted must have"),
    ({"variants": [{"choice": "x"}]}, "a variant has choice and options"),
    ({"result": 0.3}, "unknown key result"),
    ({"id": "F1b"}, "claim F1b stands there twice"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_bad_ledger_names_file_and_claim(tmp_path, change, said):
    whole = yaml.safe_load(data_path("claims.yml").read_text())
    whole["claims"][0] |= change
    (tmp_path / "claims.yml").write_text(yaml.safe_dump(whole))
    with pytest.raises(InputError, match=said) as error:
        claims.ledger(tmp_path / "claims.yml")
    assert "claims.yml" in str(error.value)
    assert "claim F1" in str(error.value)


def test_a_ledger_without_its_head_or_with_a_claim_that_lacks_something(tmp_path):
    whole = yaml.safe_load(data_path("claims.yml").read_text())
    for change, said in (({"minimum_seeds": 1}, "minimum_seeds"), ({"claims": {}}, "a list"),
                         ({"more": 1}, "should have"), ({"claims": ["F1"]}, "number 1: should be"),
                         ({"confirmatory_seeds": [1]}, "by language")):  # fmt: skip
        (tmp_path / "claims.yml").write_text(yaml.safe_dump(whole | change))
        with pytest.raises(InputError, match=said):
            claims.ledger(tmp_path / "claims.yml")
    del whole["claims"][0]["why"]
    (tmp_path / "claims.yml").write_text(yaml.safe_dump(whole))
    with pytest.raises(InputError, match="claim F1a: missing why"):
        claims.ledger(tmp_path / "claims.yml")


# -------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rule", "low", "high", "said"),
    [
        ("positive", 0.11, 0.3, "consistent"),
        ("positive", 0.1, 0.3, "undetermined"),
        ("positive", -0.1, 0.1, "negligible"),
        ("positive", -0.3, -0.11, "contrary"),
        ("positive", -0.3, 0.3, "undetermined"),
        ("non-inferior", -0.09, 0.5, "consistent"),
        ("non-inferior", -0.1, 0.5, "undetermined"),
        ("non-inferior", -0.3, -0.11, "contrary"),
        ("at least", 0.1, 0.5, "consistent"),
        ("at least", 0.05, 0.09, "contrary"),
        ("at least", 0.05, 0.1, "undetermined"),
        ("at most", 0.05, 0.1, "consistent"),
        ("at most", 0.11, 0.2, "contrary"),
        ("at most", 0.1, 0.2, "undetermined"),
    ],
)
def test_rules_worked_by_hand(rule, low, high, said):
    assert claims.verdict(rule, 0.1, low, high) == said


NUMBER = st.floats(-2, 2, allow_nan=False)
MIRROR = {"consistent": "contrary", "contrary": "consistent"}


@given(NUMBER, NUMBER, st.floats(0.01, 1), st.sampled_from(claims.RULES))
def test_an_interval_has_one_verdict_and_its_mirror_the_mirrored_one(one, other, smallest, rule):
    low, high = sorted((one, other))
    said = claims.verdict(rule, smallest, low, high)
    assert said in claims.VERDICTS[:4]
    if rule == "positive":
        back = claims.verdict(rule, smallest, -high, -low)
        assert back == MIRROR.get(said, said)
        beyond = [low > smallest, high < -smallest, max(abs(low), abs(high)) <= smallest]
        named = [said == name for name in ("consistent", "contrary", "negligible")]
        assert beyond == named
    elif rule == "at least":  # what is not at least s is below it: the other rule turned round
        back = claims.verdict("at most", smallest, 2 * smallest - high, 2 * smallest - low)
        if min(abs(low - smallest), abs(high - smallest)) > 1e-9:
            assert back == said
    elif rule == "non-inferior" and low > -smallest:
        assert said == "consistent"


@given(NUMBER, NUMBER, NUMBER, NUMBER, st.sampled_from(claims.RULES))
def test_a_shorter_interval_never_turns_a_verdict_round(a, b, c, d, rule):
    first, low, high, last = sorted((a, b, c, d))
    wide, short = (claims.verdict(rule, 0.1, *ends) for ends in ((first, last), (low, high)))
    assert wide in ("undetermined", short)


def test_what_is_no_interval_has_no_verdict():
    for ends in ((0.2, 0.1), (np.nan, 0.1), (0.1, np.nan)):
        with pytest.raises(ValueError, match="no interval"):
            claims.verdict("positive", 0.1, *ends)
    with pytest.raises(ValueError, match="no rule"):
        claims.verdict("larger", 0.1, 0.0, 1.0)


# ------------------------------------------------------------------------------- runs that are made

LABELS = read_table(data_path("hypotheses", "grammar.csv"))
REAL = LABELS.query("field != 'control'").groupby("phenomenon").head(2)
REAL = REAL.set_index("task").sort_index()
SEEDS, SCALES, STEPS = (1, 2, 3, 4, 5), ("S", "M", "L"), (0, 100, 200, 400, 800, 1600)
DOUBLINGS = {"S": 0.0, "M": 2.585, "L": 4.17}


def made(folder, seeds=SEEDS, aligned=0.3, in_scale=0.0, in_training=0.0, stage=None, noise=0.02):
    """A run whose corrected cosines within phenomena are `aligned`, plus what is planted.

    `in_scale` a doubling, `in_training` from step 100 to 1600, evenly in log step; `stage` is a
    step at which all pairs change. Reliability is .8, so measured cosines are smaller.
    """
    rng = np.random.default_rng(0)
    names = list(REAL.index)
    n, reliable = len(names), 0.8
    same = REAL["phenomenon"].to_numpy()[:, None] == REAL["phenomenon"].to_numpy()
    fixed, other = (np.tril(rng.normal(0, 0.2, (n, n)), -1) for _ in range(2))
    fixed, other = fixed + fixed.T, other + other.T
    parts = {name: [] for name in ("gradient", "tasks", "training", "transfer", "ladder")}
    for seed, scale, step in product(seeds, SCALES, STEPS):
        key = {"model": f"{scale}-{seed}", "scale": scale, "seed": seed, "step": step}
        place = np.log2(max(step, 100) / 100) / 4
        truth = fixed + same * (aligned + in_scale * DOUBLINGS[scale] + in_training * place)
        if stage is None:
            truth = truth + other * place
        elif step >= stage:
            truth = truth + other
        way = truth * reliable + rng.normal(0, noise, (n, n))
        np.fill_diagonal(way, reliable)
        cosine = (way + way.T) / 2
        a, b = np.divmod(np.arange(n * n), n)
        lift = np.exp(in_training * place + in_scale * DOUBLINGS[scale]) * (1 + same)
        column = {"cosine": cosine, "cosine_corrected": cosine / reliable, "dot": way * 4.0}
        column |= {"overlap_lift": lift, "overlap": 0.1 * lift}
        rows = pd.DataFrame({"a": np.array(names)[a], "b": np.array(names)[b], "k": 0.01})
        rows = rows.assign(**{name: values[a, b] for name, values in column.items()}, **key)
        parts["gradient"].append(rows)
        facts = {"task": names, "phenomenon": REAL["phenomenon"], "family": REAL["family"]}
        facts |= {"norm": 2.0, "reliability": reliable if step else 0.1, "bag_accuracy": 0.5}
        facts |= {"participation": 0.01 * np.exp(in_training * place), "sham_of": "", "flag": ""}
        sham = {"task": "sham", "phenomenon": "preference_sham", "reliability": 0.9, "norm": 1.0}
        parts["tasks"].append(
            pd.DataFrame([*pd.DataFrame(facts).to_dict("records"), sham]).assign(**key)
        )
        loss = 6 - 0.5 * np.log2(1 + step / 100) - 0.05 * DOUBLINGS[scale]
        parts["training"].append(pd.DataFrame([{**key, "text": "held-out", "loss": loss}]))
        if step == 800:
            moved = pd.DataFrame({"source": rows["a"], "target": rows["b"], "tuning": "t", **key})
            moved["margin_before"], moved["accuracy_before"] = 1.0, 0.5
            moved["margin_after"] = 1.0 + 3.0 * np.where(a == b, 1.0, truth[a, b])
            moved["accuracy_after"] = 0.5 + 0.1 * truth[a, b]
            parts["transfer"].append(moved)
        if (scale, step) == ("S", 800):
            parts["ladder"].append(ladder(names[::4], rng).assign(**key))
    tables = {
        name: complete(pd.concat(some, ignore_index=True), name) for name, some in parts.items()
    }
    words = pd.DataFrame(list(product(names, names)), columns=["a", "b"])
    words["lexical_diff"] = (words["a"] == words["b"]) + 0.1 * rng.normal(size=n * n)
    configs = pd.DataFrame([{"tuning": "t", "loss": "differential", "k": 0.01}])
    tables |= {"lexical": words, "configs": complete(configs, "configs")}
    return write_run(
        folder, tables, {"parameters": {"language": "grammar"}, "tasks": [*names, "sham"]}
    )


def ladder(names, rng):
    """Both rungs end at +.2; at +.1 the plain one has cost four times as much, .03 nats more."""
    rows = []
    for name, (rung, kl, loss) in product(
        names, (("good", 0.04, 0.04), ("differential-k0.01", 0.01, 0.01))
    ):
        for step, share in enumerate((0.0, 1.0, 2.0)):
            wobble = np.exp(0.1 * rng.normal())
            rows.append({"rung": rung, "source": name, "tuning_step": step, "text": "held-out",
                         "gain_train": share, "gain": share, "accuracy": 0.5 + 0.1 * share,
                         "harm_kl": kl * share**2 * wobble, "harm_loss": loss * share,
                         "flag": ""})  # fmt: skip
    return pd.DataFrame(rows)


def complete(table, name):
    keys, columns = TABLES[name]
    return table.reindex(columns=[*keys, *columns])


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "run"
    return made(folder, in_scale=0.08, in_training=0.4)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    return made(tmp_path_factory.mktemp("nothing") / "run", aligned=0.0, stage=400)


def test_what_was_planted_is_found(planted):
    found = claims.verdicts(planted).set_index("claim")
    assert list(found.index) == [claim.id for claim in LEDGER]
    assert set(found["verdict"]) == {"consistent"}
    assert (found["n_seeds"] == 5).all()
    rest = found.drop(index="F5b")  # a largest share is larger in draws than in the whole
    assert (rest["low"] <= rest["estimate"] + 1e-9).all()
    assert (rest["estimate"] <= rest["high"] + 1e-9).all()
    # A doubling lowers the loss as a tenth of a doubling of steps does, which is worth .01 here.
    truth = {"F1a": 0.0, "F1b": np.log(4), "F1c": 0.03, "F3a": 0.07, "F3b": 0.07, "F3c": 0.08,
             "F4a": 0.4, "F4b": 0.4, "F4c": 0.4}  # fmt: skip
    for claim, value in truth.items():
        assert found.loc[claim, "estimate"] == pytest.approx(
            value, abs={"F1b": 0.07, "F4a": 0.05}.get(claim, 0.005)
        )


def test_nothing_is_called_where_nothing_is_and_a_stage_is_seen(nothing):
    found = claims.verdicts(nothing).set_index("claim")["verdict"]
    assert set(found[["F2a", "F2b", "F2c", "F2d"]]) <= {"negligible", "undetermined"}
    for claim in ("F3a", "F3b", "F3c", "F4a", "F4b", "F4c"):
        assert found[claim] in ("negligible", "undetermined"), claim
    assert found["F4c"] == "negligible"
    assert found["F5b"] == "contrary"


def test_too_few_seeds_or_no_data_are_not_attempted_and_say_why(planted, tmp_path):
    few = claims.verdicts(planted, ["F2a"], seeds=(1, 2))
    assert few["verdict"].tolist() == ["not attempted"]
    assert few["note"].tolist() == ["seeds: 2, of at least 5"]
    assert np.isfinite(few[["estimate", "low", "high"]].to_numpy(float)).all()
    none = claims.verdicts(planted, ["F1a"], seeds=(9,))
    assert none["verdict"].tolist() == ["not attempted"]
    assert "no gradients of seeds 9" in none["note"].item()
    with pytest.raises(InputError, match="no claim F9"):
        claims.verdicts(planted, ["F9"])


def test_only_confirmatory_seeds_count_where_there_are_any(tmp_path):
    run = made(tmp_path / "run", seeds=(0, 1, 2))
    assert claims.seeds_of(run, LEDGER[0]) == (1, 2)
    first = made(tmp_path / "first", seeds=(0,))
    assert claims.seeds_of(first, LEDGER[0]) == (0,)
    points = claims.points(run, ["F4a", "F5a"])
    assert points["seed"].tolist() == [1, 2, 1, 2]


def test_sensitivity_has_the_ledgers_verdict_first(planted):
    found = claims.sensitivity(planted, ["F4a"])
    assert found["choice"].tolist() == ["", "comparison of gradients", "related tasks"]
    assert found["same"].all()
    own = claims.verdicts(planted, ["F4a"]).iloc[0]
    assert found.loc[0, claims.COLUMNS].equals(own[claims.COLUMNS].rename(0))


# ------------------------------------------------------------------- slow, independent computations


def cell(run, seed, scale, step, column="cosine_corrected"):
    table = run.table("gradient").query("seed == @seed and scale == @scale and step == @step")
    space = spaces.square(table, column)
    return {(a, b): space.loc[a, b] for a, b in combinations(REAL.index, 2)}


def kin(cells):
    same = {
        pair: REAL.loc[pair[0], "phenomenon"] == REAL.loc[pair[1], "phenomenon"] for pair in cells
    }
    within = [x for pair, x in cells.items() if same[pair]]
    between = [x for pair, x in cells.items() if not same[pair]]
    return float(np.mean(within)), float(np.mean(between))


def test_points_are_those_of_a_slow_computation(planted):
    of = Measured(planted, SEEDS)
    assert of.steps == [100, 200, 400, 800, 1600]
    found = estimands.change_in_training(of, "cosine_corrected", "within - between").points[2]
    ends = [kin(cell(planted, 2, scale, step)) for scale in SCALES for step in (100, 1600)]
    gaps = np.array([within - between for within, between in ends]).reshape(3, 2)
    assert found == pytest.approx((gaps[:, 1] - gaps[:, 0]).mean())

    words = lexical_space(planted.table("lexical"))
    frames = same_label(REAL.reset_index(), "frame")
    same = same_label(REAL.reset_index(), "phenomenon")
    expected = []
    for scale in SCALES:
        table = planted.table("gradient").query("seed == 3 and step == 800")
        table = table[table["scale"] == scale]
        fixed = {"phenomenon": same, "frame": frames, "lexical_diff": words}
        slopes = families.slopes(
            families.cell_table({"space": spaces.square(table, "cosine_corrected"), **fixed}),
            [*fixed],
        )
        expected.append(slopes["phenomenon"])
    found = estimands.structure_slope(of, "cosine_corrected", 800, False).points[3]
    assert found == pytest.approx(np.mean(expected))


def test_equal_loss_is_found_between_checkpoints(planted):
    of = Measured(planted, SEEDS)
    losses = {scale: [6 - 0.5 * np.log2(1 + step / 100) - 0.05 * DOUBLINGS[scale] for step in STEPS]
              for scale in SCALES}  # fmt: skip
    level = losses["S"][-1]  # the smallest ends highest
    values = []
    for scale in SCALES:
        late = [kin(cell(planted, 1, scale, step))[0] for step in (800, 1600)]
        values.append(np.interp(-level, [-x for x in losses[scale][-2:]], late))
    x = [np.log2(12 * layers * width**2) for layers, width in ((2, 64), (3, 128), (4, 192))]
    found = estimands.slope_in_scale(of, "cosine_corrected", "within", "equal loss").points[1]
    assert found == pytest.approx(np.polyfit(x, values, 1)[0])
    early = estimands._place(of, 1, "S", "equal loss early")
    assert set(early) == {100, 200}
    assert estimands._place(of, 1, "L", "equal loss early") == {100: 1.0}


def test_stability_is_freed_of_noise(tmp_path):
    quiet, loud = (made(tmp_path / str(noise), seeds=(1,), noise=noise) for noise in (0.001, 0.06))
    of = [Measured(run, (1,)) for run in (quiet, loud)]
    raw = [estimands.stability(some, "cosine").value for some in of]
    corrected = [estimands.stability(some, "cosine_corrected").value for some in of]
    assert raw[1] < raw[0] - 0.03
    assert corrected == pytest.approx([raw[0]] * 2, abs=0.02)
    shares = [estimands.largest_share(some, "cosine_corrected").value for some in of]
    assert shares == pytest.approx([0.25] * 2, abs=0.05)  # of four intervals alike
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 3, 30)
    expected = np.corrcoef(np.repeat(x, weight), np.repeat(y, weight))[0, 1]
    assert correlation(weight[None, :].astype(float), x, y) == pytest.approx([expected])


def test_an_interval_of_means_is_as_wide_as_seeds_make_it(planted):
    """All cells alike, so that only seeds differ: the standard error of a mean of five."""
    of = Measured(planted, SEEDS)
    cells = pd.DataFrame({"task": REAL.index})
    values = dict(zip(SEEDS, (0.0, 1.0, 2.0, 3.0, 4.0), strict=True))
    parts = {(seed, "S"): (cells, lambda w, x=x: np.full(len(w), x)) for seed, x in values.items()}
    found = estimate(of, parts, ("task",))
    assert found.value == 2
    error = np.std([*values.values()], ddof=1) / np.sqrt(5)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(
        error, rel=0.12
    )  # means of four of five numbers
    with pytest.raises(NotMeasured):
        estimate(of, {}, ("task",))
