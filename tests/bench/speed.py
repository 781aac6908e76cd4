"""The four races: scoring, gradients, what comes on top of them, and a row of the transfer space.

Each part returns what it measured, the raw seconds of every round, and how far the answers agree
with a float64 model that reads one sentence at a time.
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import pandas as pd
import torch

from taskspace_utils import ftgd, gradient_space, probing, scoring, store

from . import peers
from .material import Material, doubled, gradient_one_by_one, one_by_one, parameters
from .measure import Race, measure, plain, race, ratio

NEAR_TIE = 1e-4  # nats: a margin so small may change its sign by rounding alone
READ_ONCE = "every distinct beginning read once, and all time spent on matrix products"
BACKWARD = 3  # products of a pass forward and back, over those of a pass forward


def part(found: Race, measures: list[dict], agreement: dict, about: str, **more) -> dict:
    """One part of the report."""
    return {
        "about": about,
        "rounds": found.rounds,
        "sgemm_before": found.sgemm_before,
        "sgemm_after": found.sgemm_after,
        "attempts": found.attempts,
        "measures": measures,
        "agreement": agreement,
        **more,
    }


def scoring_part(m: Material, quick: bool = False, **options) -> dict:
    """Log-probabilities of both sentences of each pair: ours, minicons, lm-eval's core."""
    some = m.of(m.tasks[:3] if quick else m.tasks, 8 if quick else 100)
    held = some[some["split"] == "eval"]
    sentences = [*held["good"], *held["bad"]]
    ways = {
        "minicons": peers.Minicons(m.lm),
        "lm-eval": peers.Harness(m.lm),
        "ours": lambda text: scoring.log_probabilities(m.lm, text),
    }
    for way in ways.values():
        way(sentences[:64])
    found = race(
        {name: lambda way=way: way(sentences) for name, way in ways.items()}, warm=False, **options
    )
    with torch.no_grad():
        exact = one_by_one(doubled(m.lm), sentences).numpy()
    n = len(held)
    margin = exact[:n] - exact[n:]
    errors, flips = {}, {}
    for name, values in found.results.items():
        errors[name] = float(np.abs(values - exact).max())
        other = np.sign(values[:n] - values[n:]) != np.sign(margin)
        flips[name] = int((other & (np.abs(margin) > NEAR_TIE)).sum())
    work = _work(m, sentences)
    # The time that the products alone would take, over what the whole took.
    share = work["flops"] / found.sgemm_before / found.seconds("ours")
    least = work["flops_distinct"] / found.sgemm_before
    measures = [
        measure(
            f"scoring, against {label}",
            ratio(found, "ours", peer),
            floor,
            goal,
            limit=found.seconds(peer) / least,
            why=READ_ONCE,
        )
        for label, peer, floor, goal in (
            ("minicons", "minicons", 1.9, 2.5),
            ("lm-eval's core", "lm-eval", 1.2, 1.6),
        )
    ]
    measures += [
        measure(
            "scoring, share of what sgemm allows without sharing",
            plain(share) if not _refused(found) else ratio(found, "ours", "minicons"),
            0.95,
            None,
            "share",
            limit=work["flops"] / work["flops_distinct"],
            why=READ_ONCE,
        ),
        measure(
            f"signs that differ from float64 beyond {NEAR_TIE:g} nats",
            plain(flips["ours"]),
            0,
            None,
            "pairs",
            at_least=False,
        ),
    ]
    about = (
        f"{n} pairs of {held['task'].nunique()} tasks; each method gets the same sentences and "
        f"tokenizes them; peers read batches of {peers.BATCH}"
    )
    agreement = {"largest_error_nats": errors, "flips": flips}
    return part(found, measures, agreement, about, pairs=n, work=work)


def _refused(found: Race) -> str:
    return ratio(found, "ours", "minicons")["refused"]


def _work(m: Material, sentences: list[str]) -> dict:
    """Tokens read, distinct prefixes among them, and the multiplications that all tokens need."""
    ids = [row[:-1] for row in m.lm.encode(sorted(set(sentences)))]  # nothing follows the last
    tokens = sum(map(len, ids))
    prefixes = {tuple(row[:end]) for row in ids for end in range(1, len(row) + 1)}
    config = m.lm.model.config
    # a weight matrix costs a multiplication and an addition a token; wpe is only looked up, and
    # the tied wte is looked up for input and multiplied for output
    weights = sum(
        p.numel() for name, p in m.lm.model.named_parameters() if p.ndim == 2 and "wpe" not in name
    )
    attention = 4 * config.n_embd * config.n_layer  # a token seen by a token
    seen = sum(len(row) * (len(row) + 1) // 2 for row in ids)
    return {
        "tokens": tokens,
        "prefixes": len(prefixes),
        "flops": 2 * weights * tokens + attention * seen,
        "flops_distinct": 2 * weights * len(prefixes) + attention * sum(map(len, prefixes)),
    }


def gradients_part(m: Material, quick: bool = False, **options) -> dict:
    """Gradients of whole tasks: ours, two padded passes; and TRAK's on one task."""
    tasks, n = (m.sample[:2], 8) if quick else (m.sample, 200)
    of = {task: m.of([task], n) for task in tasks}
    found = race(
        {
            "two padded passes": lambda: [peers.two_padded_passes(m.lm, p) for p in of.values()],
            "ours": lambda: [ftgd.loss_gradient(m.lm, p)[0] for p in of.values()],
        },
        warm=False,
        **options,
    )
    reference = _reference_tasks(tasks, quick)
    double = doubled(m.lm)
    exact = {task: gradient_one_by_one(double, of[task]) for task in reference}
    errors = {
        name: max(_relative(values[tasks.index(task)].cpu(), exact[task]) for task in reference)
        for name, values in found.results.items()
    }
    works = {task: _work(m, [*p["good"], *p["bad"]]) for task, p in of.items()}
    middle = sorted(tasks, key=lambda task: works[task]["tokens"])[len(tasks) // 2]
    trak = peers.Trak(m.lm)
    sampled = race(
        {
            "TRAK's gradients a sample": lambda: trak(of[middle]),
            "ours": lambda: ftgd.loss_gradient(m.lm, of[middle])[0],
        },
        warm=False,
        **options,
    )
    errors["TRAK's gradients a sample (against ours)"] = _relative(
        sampled.results["TRAK's gradients a sample"], sampled.results["ours"].double()
    )
    once = f"{READ_ONCE}, forward and back; terms that cancel may save more"
    least = {
        task: BACKWARD * work["flops_distinct"] / found.sgemm_before for task, work in works.items()
    }
    measures = [
        measure(
            "task gradients, against two padded passes",
            ratio(found, "ours", "two padded passes"),
            2.0,
            2.5,
            limit=found.seconds("two padded passes") / sum(least.values()),
            why=once,
        ),
        measure(
            "task gradient, against TRAK's gradients a sample",
            ratio(sampled, "ours", "TRAK's gradients a sample"),
            25.0,
            None,
            limit=sampled.seconds("TRAK's gradients a sample") / least[middle],
            why=once,
        ),
        measure(
            "relative error of a task gradient against float64",
            plain(errors["ours"]),
            1e-5,
            None,
            "share",
            at_least=False,
        ),
    ]
    about = (
        f"{n} pairs of each of {len(tasks)} tasks, one a phenomenon ({', '.join(tasks)}); TRAK on "
        f"{middle} alone: a pair is a sample, {trak.pairs_at_once} pairs at a time, and the "
        f"random projection that TRAK does next is left out; error on {', '.join(reference)}"
    )
    return part(
        found,
        measures,
        {"largest_relative_error": errors},
        about,
        sampled={
            "rounds": sampled.rounds,
            "sgemm_before": sampled.sgemm_before,
            "sgemm_after": sampled.sgemm_after,
        },
        work={key: sum(work[key] for work in works.values()) for key in works[middle]},
    )


def _reference_tasks(tasks: list[str], quick: bool) -> list[str]:
    return tasks[:1] if quick else tasks[:: max(1, len(tasks) // 3)][:3]


def _relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def spaces_part(m: Material, quick: bool = False, **options) -> dict:
    """Cosines, overlaps and energies: what `gradient_space` costs beyond its gradients.

    That doesn't depend on the number of pairs, so it is found with few, as a difference of two
    times that are nearly all of it, and put beside the time of gradients of 200 pairs.
    """
    tasks = m.tasks[:3] if quick else m.tasks
    few = m.of(tasks, 8)
    many = [m.of([task], 8 if quick else 200) for task in tasks]
    found = race(
        {
            "gradients of 4 + 4 pairs": lambda: _each(m, few),
            "space of 4 + 4 pairs": lambda: gradient_space(m.lm, few),
        },
        warm=False,
        against="space of 4 + 4 pairs",
        **options,
    )
    began = time.process_time()
    for pairs in many:
        ftgd.loss_gradient(m.lm, pairs)
    whole = time.process_time() - began
    each = [
        (space - gradients) / whole for gradients, space in zip(*found.rounds.values(), strict=True)
    ]
    refused = ratio(found, "gradients of 4 + 4 pairs", "space of 4 + 4 pairs")
    value = plain(float(np.median(each)), min(each), max(each))
    errors = _cosine_errors(m, quick)
    file = _file_seconds(2 * len(tasks), parameters(m.lm))
    products = 2 * (2 * len(tasks)) ** 2 * parameters(m.lm) / found.sgemm_before
    measures = [
        measure(
            "cosines and overlaps, beyond the gradients",
            refused if refused["refused"] else value,
            0.10,
            None,
            "share",
            at_least=False,
            limit=(file + products) / whole,
            why="measured and computed: all gradients written to a file and read once "
            f"({file:.1f} s), all inner products of both halves at the rate of sgemm "
            f"({products:.1f} s), and nothing else",
        ),
        measure(
            "largest error of a cosine against float64",
            plain(errors["cosine"]),
            1e-5,
            None,
            "",
            at_least=False,
        ),
    ]
    about = (
        f"{len(tasks)} tasks; the time beyond the gradients, as a share of the time of "
        f"{len(tasks)} gradients of {len(many[0])} pairs ({whole:.1f} s)"
    )
    return part(found, measures, {"largest_error": errors}, about, gradients_seconds=whole)


def _each(m: Material, pairs: pd.DataFrame) -> None:
    for _, some in pairs.groupby(["split", "task"]):
        ftgd.loss_gradient(m.lm, some)


def _file_seconds(rows: int, count: int) -> float:
    """CPU seconds to write rows of `count` float32 to a file without a name, and read them once."""
    row = np.ones(count, np.float32)
    folder = store.store_path("scratch")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        began = time.process_time()
        for _ in range(rows):
            file.write(row)
        file.seek(0)
        for _ in range(rows):
            file.readinto(row)
        return time.process_time() - began


def _cosine_errors(m: Material, quick: bool) -> dict:
    """Cosines and overlaps of a few tasks against those of float64 gradients, one by one."""
    tasks = m.sample[:2] if quick else m.sample[::3]
    pairs = m.of(tasks, 8 if quick else 40)
    space, _ = gradient_space(m.lm, pairs)
    double = doubled(m.lm)
    halves = [
        [gradient_one_by_one(double, pairs[(pairs["task"] == t) & (pairs["split"] == half)])
         for t in sorted(tasks)]
        for half in ("train", "eval")
    ]  # fmt: skip
    one, other = (np.stack([g.numpy() for g in half]) for half in halves)
    lengths = np.outer(np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1))
    cosine = one @ other.T / lengths
    k = round(float(space["k"].iloc[0]) * one.shape[1])
    top = [[set(np.argsort(-np.abs(g))[:k].tolist()) for g in half] for half in (one, other)]
    overlap = np.array([[len(a & b) / k for b in top[1]] for a in top[0]])
    exact = {"cosine": (cosine + cosine.T) / 2, "overlap": (overlap + overlap.T) / 2}
    return {
        name: float(np.abs(space[name].to_numpy() - values.ravel()).max())
        for name, values in exact.items()
    }


def transfer_part(m: Material, quick: bool = False, **options) -> dict:
    """One row of the transfer space against loading, padding and minicons; and the undo."""
    pairs = m.of(m.tasks[:3] if quick else m.tasks, 8 if quick else 100)
    source = m.sample[0]
    source = source if source in set(pairs["task"]) else m.tasks[0]
    config = ftgd.Config(max_steps=2) if quick else ftgd.Config()
    held = pairs[pairs["split"] == "eval"]
    train = pairs[(pairs["task"] == source) & (pairs["split"] == "train")]
    before = scoring.margins(m.lm, held)  # computed once for all rows, by either way
    start = {name: t.clone() for name, t in m.lm.model.state_dict().items()}
    row, summary, _ = probing.transfer_row(m.lm, pairs, source, config, before=before)
    found = race(
        {
            "reload, pad, minicons": lambda: peers.reload_tune_score(
                m.folder, pairs, source, config, summary["steps"]
            )[0],
            "ours": lambda: probing.transfer_row(m.lm, pairs, source, config, before=before),
        },
        warm=False,
        **options,
    )
    undo = []
    for _ in range(5):
        tuning = ftgd.tuned(m.lm, train, ftgd.Config(max_steps=1))
        tuning.__enter__()
        began = time.process_time()
        tuning.__exit__(None, None, None)
        undo.append((time.process_time() - began) / found.seconds("ours"))
    same = all(torch.equal(t, start[name]) for name, t in m.lm.model.state_dict().items())
    with ftgd.tuned(m.lm, train, config):
        probe = held.iloc[:: max(1, len(held) // 100)]
        ours = scoring.margins(m.lm, probe)
        both = peers.Minicons(m.lm)([*probe["good"], *probe["bad"]])
    theirs = both[: len(probe)] - both[len(probe) :]
    evaluation = _work(m, [*held["good"], *held["bad"]])["flops_distinct"]
    gradient = BACKWARD * _work(m, [*train["good"], *train["bad"]])["flops_distinct"]
    least = (evaluation + (summary["steps"] + 1) * gradient) / found.sgemm_before
    measures = [
        measure(
            "a transfer row, against reload, pad, minicons",
            ratio(found, "ours", "reload, pad, minicons"),
            3.0,
            None,
            limit=found.seconds("reload, pad, minicons") / least,
            why=f"{READ_ONCE}: {summary['steps'] + 1} gradients, one evaluation",
        ),
        measure(
            "undo, share of a row's time",
            plain(float(np.median(undo)), min(undo), max(undo)),
            0.01,
            None,
            "share",
            at_least=False,
        ),
        measure(
            "weights that undo left changed",
            plain(0 if same else 1),
            0,
            None,
            "",
            at_least=False,
        ),
    ]
    about = (
        f"tuned on {source} ({len(train)} pairs, {summary['steps']} steps), then "
        f"{len(held)} pairs of {len(row)} tasks; margins before tuning are known to both"
    )
    return part(
        found,
        measures,
        {"tuned_margins_against_minicons_nats": float(np.abs(ours - theirs).max())},
        about,
        steps=summary["steps"],
    )
