"""What the commands of `taskspaces` do: each calls one function of a room and prints a little.

`cli` reads their options; what makes pages is in `publishing.commands`. No torch is imported before
a command needs it.
"""

from __future__ import annotations

import functools
from pathlib import Path

from taskspace_utils import store
from taskspace_utils.store import InputError, say
from taskspace_utils.tables import model_columns, write_run


def generate(options) -> None:
    """Write pairs, and a corpus that holds none of them."""
    from taskspace_utils.grammar import load_grammar
    from taskspace_utils.pairs import write_pairs

    if options.corpus and Path(options.corpus).resolve() == Path(options.out).resolve():
        raise InputError(f"--corpus: {options.corpus} is the file of pairs; name another")
    grammar = load_grammar(options.grammar)
    pairs = grammar.pairs(options.pairs_per_task, options.seed, options.tasks)
    lines = None
    if options.corpus:
        shown = {*pairs["good"], *pairs["bad"]}
        lines = grammar.corpus(options.sentences, options.seed, exclude=shown)
    write_pairs(options.out, pairs)
    say(f"{len(pairs)} pairs of {pairs['task'].nunique()} tasks: {options.out}")
    if lines is not None:
        store.write_atomic(options.corpus, "".join(f"{line}\n" for line in lines))
        say(f"{len(lines)} sentences: {options.corpus}")


def check_pairs(options) -> None:
    """Print what is wrong or confounded in pairs."""
    from taskspace_utils.checks import as_text, check_table
    from taskspace_utils.legibility import check_header, encoding_faults
    from taskspace_utils.pairs import Fault, scan_pairs
    from taskspace_utils.sample_size import advice

    check_header(options.path)
    pairs, faults = scan_pairs(options.path)
    for place, what in encoding_faults(pairs):
        file, line = pairs[["file", "line"]].iloc[place]
        faults.append(Fault(file, int(line), "mixed encodings", what, True))
    if len(pairs):
        print(as_text(check_table(pairs, faults)))
    for fault in faults:
        print(f"{'error' if fault.error else 'warning'}: {fault}")
    if len(pairs) and (hint := advice(pairs)):
        print(f"hint: {hint}")
    errors = sum(f.error or options.strict for f in faults)
    print(f"{len(pairs)} pairs, {errors} errors, {len(faults) - errors} warnings")
    if errors:
        raise InputError(f"{options.path} has {errors} errors: mend the lines above")


def pretrain(options) -> None:
    """Train one model."""
    import torch

    from taskspace_utils import jobs, runs
    from taskspace_utils.models import chosen_hardware
    from taskspace_utils.pretraining import pretrain, read_corpus
    from taskspace_utils.scales import load_scale

    device = chosen_hardware()[0]
    scale = load_scale(options.scale)
    if options.threads:
        torch.set_num_threads(options.threads)
    corpus = read_corpus(options.corpus)
    work = jobs.Job(
        functools.partial(pretrain, device=device),
        (scale, corpus, options.steps, options.seed, options.out),
        name=f"training {scale.name}",
        steps=lambda: runs.trained(Path(options.out), options.steps),
    )  # fmt: skip
    [folder] = jobs.run([work], workers=1)
    say(f"checkpoints and training.csv: {folder}")


def _pairs_of(options):
    from taskspace_utils import legibility
    from taskspace_utils.pairs import read_pairs, scan_pairs

    legibility.check_header(options.pairs)
    pairs = read_pairs(options.pairs, options.strict, options.skip_faulty)
    legibility.check_text(pairs)
    if doubt := _repeats(pairs):
        say(f"warning: {doubt}. `taskspaces check-pairs {options.pairs}` lists them")
    if options.skip_faulty:
        for fault in scan_pairs(options.pairs)[1]:
            if fault.error or options.strict:
                say(f"left out: {fault}")
    if tasks := getattr(options, "tasks", None):
        known = set(pairs["task"])
        if missing := [t for t in tasks if t not in known]:
            raise InputError(
                f"--tasks: no task {', '.join(missing)} in {options.pairs}; it has "
                + ", ".join(sorted(known))
            )
        pairs = pairs[pairs["task"].isin(tasks)].reset_index(drop=True)
    return pairs


def _repeats(pairs) -> str:
    """What of pairs stands there twice, in words; "" where nothing does."""
    again = int(pairs.duplicated(["task", "good", "bad"]).sum())
    same = int((pairs["good"] == pairs["bad"]).sum())
    if not (again or same):
        return ""
    return (
        f"{again} pairs stand in their task before, so intervals come out too narrow; {same} "
        "pairs are of one sentence twice, which counts one half"
    )


def score(options) -> None:
    """Score pairs; write and print the table of accuracies."""
    from taskspace_utils import opening
    from taskspace_utils.models import chosen_hardware

    store.new_folder(options.out, "manifest.json")
    one, *others = _sources(options)
    if others:
        raise InputError("--revision: `score` takes one; `probe` makes a run of several")
    pairs = _pairs_of(options)
    lm = opening.load_model(one.model, one.revision, one.bos, *chosen_hardware(), one.scoring)
    _legible(lm, pairs)
    table, each = opening.score(lm, pairs)
    columns = ["task", "pair_id", "log_p_good", "log_p_bad", "margin"]
    tables = {"accuracy": table, "margins": each[columns]}
    manifest = {
        "model": lm.name,
        "weights": lm.weights,
        "bos": lm.bos,
        "scoring": one.scoring,
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "method": store.method_version(),
        "versions": store.versions(),
        **store.hardware(),
    }
    keyed = {name: model_columns(t, **lm.keys) for name, t in tables.items()}
    write_run(options.out, keyed, manifest)
    print(table.to_string(index=False, float_format="%.3f"))
    say(f"tables: {options.out}")


def _legible(lm, pairs) -> list[str]:
    from taskspace_utils.legibility import check_tokens

    doubts = check_tokens(lm, pairs)
    for doubt in doubts:
        say(f"warning: {doubt}")
    return doubts


def probe(options) -> None:
    """Probe a model with any pairs and report on it, or say what that would take."""
    from taskspace_utils import cells, context, partial, probes, sample_size
    from taskspace_utils.splits import split_pairs

    preset = context.PRESETS[options.preset]
    methods = preset["methods"] if options.methods is None else options.methods
    number = preset["pairs"] if options.pairs_per_task is None else options.pairs_per_task
    unknown = set(methods) - set(cells.METHODS)
    if unknown or not methods:
        named = ", ".join(sorted(unknown)) or "none named"
        raise InputError(f"--methods: {named}; there are transfer and gradient")
    if not 0.1 < options.target < float("inf"):
        raise InputError(f"--target is {options.target} nats; it must be above 0.1")
    asked = {name: getattr(options, name) for name in ("sources", "targets", "k", "text")}
    if "transfer" not in methods and (idle := [f"--{name}" for name in asked if asked[name]]):
        raise InputError(
            f"{', '.join(idle)}: of tuning, and {'--methods' if options.methods else '--preset'} "
            "asks for gradients alone; leave it out, or add --methods transfer,gradient"
        )
    mine = _pairs_of(options)
    if hint := sample_size.advice(mine):
        say(f"hint: {hint}")
    pairs, own = context.with_context(mine, options.context, number, options.seed)
    pairs = split_pairs(pairs, number, options.seed)
    default = own if options.context and options.preset != "full" else None
    sources = context.chosen(options.sources or default, pairs["task"].unique(), "--sources")
    targets = context.chosen(options.targets, pairs["task"].unique(), "--targets")
    about = {"pair_seed": options.seed, "pairs_per_task": number, "preset": options.preset}
    about |= {"context": options.context, "own": own} if options.context else {}
    if "transfer" in methods and (few := context.too_few(pairs, {*sources, *targets}, number)):
        if options.methods is not None:
            more = "Ask for more" if number < context.TRANSFER_PAIRS else "Write more pairs"
            raise InputError(f"{few}. {more}, or say --methods gradient")
        say(f"{few}: gradients only")
        methods, about = ["gradient"], about | {"no_transfer": few}
    texts: cells.Texts = {}
    if options.text and options.scoring == "pseudo":
        raise InputError("--text: harm is measured in a causal model's loss; leave it out")
    if options.text:
        from taskspace_utils.pretraining import read_corpus

        texts = read_corpus(options.text).neutral()
    models = _sources(options, partial.named(options.params))
    doubts = [*filter(None, [_repeats(mine)]), *_legible(cells.loaded(models[0]), pairs)]
    about |= {"doubts": doubts} if doubts else {}  # who reads the report has not read the terminal
    tunings = [{"k": k, "target": options.target} for k in options.k or preset["k"]]
    placed = own if len(own) <= context.PLACED else ()
    if options.plan:  # shows two of one's own pairs in tokens
        pairs = pairs.iloc[(~pairs["task"].isin(own)).argsort(kind="stable")].reset_index(drop=True)
        work = cells.probing_cells(models[0], sources, tunings, methods, own=placed)
        sizes = len(tunings), len(sources), options.workers, len(placed)
        print(cells.plan(models[0], pairs, methods, *sizes))
        print(f"cells     {len(work)}" + f" of each of {len(models)} models" * (len(models) > 1))
        return
    run = probes.probe(
        models, pairs, options.out, methods, tunings, texts, about, options.workers,
        options.scheduler, own=placed,
        sources=sources if len(sources) < pairs["task"].nunique() else None,
        targets=targets if options.targets else None,
    )  # fmt: skip
    say(f"run folder: {run.folder}")
    if not options.no_report:
        _report(run)


def _sources(options, params: str = "") -> list:
    """Where the models come from: one, or one a revision."""
    from taskspace_utils.cells import Source

    names = (options.revision or "").split(",")
    names = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    folder = Path(options.model)
    if names and folder.is_dir():  # its checkpoints
        if absent := [name for name in names if not (folder / name / "config.json").is_file()]:
            there = ", ".join(sorted(p.parent.name for p in folder.glob("*/config.json")))
            raise InputError(
                f"--revision: {folder} has no checkpoint {', '.join(absent)}; "
                + (f"there are {there}" if there else "it is no folder of checkpoints")
            )
        places = [(str(folder / name), None) for name in names]
    else:
        places = [(options.model, name) for name in names or [None]]
    return [Source(*place, options.bos, params, options.scoring) for place in places]


def report(options) -> None:
    """Write the report of a run folder again."""
    from taskspace_utils.tables import Run

    _report(Run(options.run_folder))


def _report(run) -> None:
    from taskspace_utils.publishing import report

    if missing := report.missing():
        say(f"no report: {', '.join(missing)} not installed; `pip install {' '.join(missing)}`")
        return
    for path in report.write(run):
        say(f"report: {path}")


def sweep(options) -> None:
    """Train and probe a profile's grid."""
    from taskspace_utils import runs

    run = runs.sweep(options.profile, options.out, options.workers, options.scheduler)
    say(f"run folder: {run.folder}")


def compare(options) -> int:
    """Compare two runs; 1 where they differ."""
    from taskspace_utils import comparison
    from taskspace_utils.publishing import comparison_text

    runs = [comparison.find_run(name) for name in (options.run_a, options.run_b)]
    text, status = comparison_text.report(*runs, options.tolerance, options.all)
    print(text)
    return status


def look_after(options) -> int:
    """List, verify or prune the store."""
    from taskspace_utils import inventory

    text, status = inventory.report(options.action, options.path, options.dry_run)
    print(text)
    return status
