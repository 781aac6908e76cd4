"""The book: what a profile misses is computed, changed chapters are run, pages are drawn.

A chapter's key covers its text, the package, `data/`, its parameters, the locked environment and
the tables of the run; the book's key covers those and the pages. What is unchanged is not done
again, so an unchanged book costs seconds: the module imports no torch. Jupyter Book runs nothing;
it draws what papermill ran, and its warnings are errors.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from taskspace_utils import jobs, store
from taskspace_utils.publishing import drawing, pages, passports, prose, redraw
from taskspace_utils.publishing.chapters import (
    BuildError,
    chapters,
    check_parameters,
    execute,
    find_chapter,
)


def build(
    profile: str = "laptop",
    out: str | Path | None = None,
    root: Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Path:
    """Compute, run and draw what has changed; return the path of the book's `index.html`.

    A build that fails leaves no book behind: the old pages go before new ones are made, and the
    new ones appear in one rename, when all chapters have run and Jupyter Book has no warning.

    Args:
        profile: which grid of models and tasks; see `data/profiles/`.
        out: the folder for `html/`; `_build/` in the project by default.
        root: the project, where it isn't the one that this package lies in.
        workers: number of processes that compute, then of chapters that run side by side.
        scheduler: a dask scheduler, whose workers compute instead; chapters always run here.

    Raises:
        InputError: no such profile, or it names a chapter or parameter that isn't there.
        BuildError: chapters failed (all others have run), or pages have warnings.
    """
    from taskspace_utils import runs

    root = (root or store.project_root()).resolve()
    out = Path(out).resolve() if out else root / "_build"
    loaded = runs.load_profile(profile)
    own = {find_chapter(name, root): given for name, given in loaded.chapters.items()}
    values = {
        path: check_parameters(path, {"profile": profile, **own.get(path, {})})
        for path in chapters(root)
    }
    with store.locked("book"):
        return _built(loaded, values, root, out, workers, scheduler)


def _built(profile, values, root: Path, out: Path, workers, scheduler) -> Path:
    from taskspace_utils import runs

    html = out / "html"
    try:
        run = runs.sweep(profile, None, workers, scheduler)
    except BaseException:
        shutil.rmtree(html, ignore_errors=True)
        raise
    offline = drawing.vendored()

    def state() -> tuple[dict[Path, str], str]:
        keys = _keys(values, root, run.folder)
        shown = _hashes(root, "book/**/*", "_*.yml", "CHANGELOG.md", "CITATION.cff")
        return keys, store.key_of({"c": sorted(keys.values()), "p": shown, "offline": offline})

    key = state()[1]
    index, stamp = html / "index.html", html / ".key"
    made = [index, *(html / "notebooks" / f"{path.stem}.html" for path in values)]
    if stamp.is_file() and stamp.read_text() == key and all(page.is_file() for page in made):
        store.say(f"nothing has changed since {index} was built")
        return index
    shutil.rmtree(html, ignore_errors=True)
    executed = _execute_all(values, lambda: state()[0], profile.name, root, out, workers)
    store.say("drawing the pages")
    shutil.rmtree(out / "figures", ignore_errors=True)
    texts = {
        new.name: _page(new, values[path], profile.name, out / "figures")
        for path, new in executed.items()
    }
    times = pages.run_times(executed.values())
    store.write_atomic(out / pages.TIMES, times.to_csv(index=False, lineterminator="\n"))
    drawn = drawing.draw(texts, root, out, offline)
    # what was edited in the meantime has no key: the next build looks at it again
    store.write_atomic(drawn / ".key", key if state()[1] == key else "edited while it was built")
    os.replace(drawn, html)
    shutil.rmtree(out / "drawn")
    store.say(f"the book is in {index}")
    return index


def _hashes(root: Path, *patterns: str) -> dict[str, str]:
    """The hash of each file that a pattern finds, by its path inside the project."""
    found = (path for pattern in patterns for path in root.glob(pattern) if path.is_file())
    return {path.relative_to(root).as_posix(): store.file_hash(path) for path in found}


def _keys(values: Mapping[Path, Mapping], root: Path, run: Path) -> dict[Path, str]:
    """What each chapter's outputs depend on, as a key: other key, other outputs."""
    shared = {
        "code": _hashes(root, "taskspace_utils/**/*.py", "requirements.txt"),
        "data": _hashes(root, "data/**/*", "_build/bench/report.json"),  # the reader's own ratios
        "fetched": os.environ.get("TASKSPACES_DATA", ""),
        "run": _hashes(run, "*.csv*"),
        "python": sys.version_info[:2],
    }
    return {
        path: store.key_of({**shared, "text": store.file_hash(path), "parameters": given})
        for path, given in values.items()
    }


def _execute_all(
    values, state, profile: str, root: Path, out: Path, workers: int | None
) -> dict[Path, Path]:
    """Run the chapters that the store has not, several at a time; the executed notebooks.

    `state()` gives each chapter's present key.
    """
    import nbformat

    folder, keys = store.store_path("chapters", profile), state()
    targets = {path: folder / f"{keys[path]}-{path.stem}" / f"{path.stem}.ipynb" for path in values}
    missing = [path for path in values if not targets[path].exists()]
    failures = []

    def run(path: Path) -> None:
        try:
            notebook = execute(path, values[path], root, out / "failed")
        except BuildError as error:
            failures.append(str(error))
            store.say(f"  {path.stem}: failed")
            return
        note = ""
        if state()[path] != keys[path]:
            note = " (edited while it ran: the next build runs it again)"
            targets[path] = out / "edited" / f"{path.stem}.ipynb"
        for old in folder.glob(f"*-{path.stem}"):
            shutil.rmtree(old)
        store.write_atomic(targets[path], nbformat.writes(notebook))
        store.say(f"  {path.stem}: ran in {notebook.metadata.papermill['duration']:.0f} s{note}")

    store.say(f"chapters: {len(missing)} to run, {len(values) - len(missing)} unchanged")
    workers = workers or jobs.cores()
    pool, work = ThreadPoolExecutor(workers), [jobs.Job(run, (path,)) for path in missing]
    try:
        with jobs.Progress(work, lambda: workers) as progress:
            jobs.spread(work, pool, progress)
    finally:
        pool.shutdown(cancel_futures=True)
    if failures:
        raise BuildError("\n".join(["there is no book, because of", *sorted(failures)]))
    return targets


# -------------------------------------------------------------------------------------------- pages


def _page(executed: Path, parameters: Mapping[str, Any], profile: str, figures: Path) -> str:
    """An executed notebook as a page: one parameters cell with the values that ran, no log.

    Args:
        figures: a folder for the tables of the notebook's figures, to which their captions link.
    """
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    drawn = notebook.metadata.pop("figures", {})
    redraw.write(figures, drawn)
    seconds = notebook.metadata.pop("papermill")["duration"]
    tags = {cell.id: cell.metadata.get("tags", []) for cell in notebook.cells}
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in tags[c.id]]
    for cell in notebook.cells:
        if "parameters" in tags[cell.id]:
            cell.source = _with_values(cell.source, parameters)
        for name in ("papermill", "source", "execution"):
            cell.metadata.pop(name, None)
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if figure.get("name") in drawn:
            passports.show(cell, figure["name"], drawn[figure["name"]])
    line = (
        f'<p class="ts-provenance">Profile <strong>{profile}</strong> · ran in {seconds:.0f} s · '
        f"taskspace-utils {store.versions()['taskspace-utils']}, "
        f"method {store.method_version()} · "
        f'<a href="../_sources/notebooks/{executed.name}">executed notebook</a></p>'
    )
    title = next(c for c in notebook.cells if c.cell_type == "markdown")
    opened = prose.opening(title.source, seconds, prose.measure(notebook))
    title.source = re.sub(r"(?m)^# .+$", rf"\g<0>\n\n{line}", opened, count=1)
    return nbformat.writes(notebook)


def _with_values(source: str, parameters: Mapping[str, Any]) -> str:
    """The parameters cell with the defaults replaced by the values that ran."""
    lines = source.encode().splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        old, new = node.value, parameters.get(node.target.id)
        if new is not None and new != ast.literal_eval(old):
            text = json.dumps(new, ensure_ascii=False) if isinstance(new, str) else repr(new)
            before = lines[old.lineno - 1][: old.col_offset]
            after = lines[old.end_lineno - 1][old.end_col_offset :]
            lines[old.lineno - 1 : old.end_lineno] = [before + text.encode() + after]
    return b"".join(lines).decode()


# ------------------------------------------------------------------------------- a Sphinx extension


def setup(app) -> dict:
    """Number chapters by their files' names: 09 is chapter 9 also while there is no chapter 8.

    Sphinx numbers by position. Sections, figures and equations take their first number from here.
    """
    from docutils import nodes
    from sphinx_external_toc.collectors import TocTreeCollectorWithStyles as Collector

    by_position = Collector.assign_section_numbers

    def by_name(collector, env) -> list[str]:
        rewritten = by_position(collector, env)
        for page, numbers in env.toc_secnumbers.items():
            if not (match := re.match(r"notebooks/(\d+)_", page)):
                continue
            chapter = int(match[1])
            for anchor, number in numbers.items():
                numbers[anchor] = (chapter, *number[1:]) if number else number
            for node in [env.titles[page], *env.tocs[page].findall(nodes.reference)]:
                if node.get("secnumber"):
                    node["secnumber"] = [chapter, *node["secnumber"][1:]]
        return rewritten

    Collector.assign_section_numbers = by_name
    return {"parallel_read_safe": True}
