"""The book: chapters are text, papermill runs them, Jupyter Book draws the pages.

`build` computes what a profile still misses, runs the chapters whose key has changed, and draws
the book; `run_chapter` runs one chapter with parameters of one's own. A chapter's key covers its
text, the package, `data/`, its parameters, the locked environment and the tables of the run. The
module knows nothing of models and imports no torch: what is unchanged costs seconds.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from taskspace_utils import store
from taskspace_utils.store import InputError

# npm packages and the files taken from each: with them, pages need no network to be read.
VENDORED = {
    "mathjax@3.2.2": ("es5/tex-chtml-full.js", "es5/output/chtml/fonts/*"),
    "@jupyter-widgets/html-manager@1.0.15": ("dist/embed.js", "dist/*.woff2"),
}
OFFLINE = {
    "mathjax_path": "es5/tex-chtml-full.js",
    "nb_ipywidgets_js": {"dist/embed.js": {}},
}
TYPES = {"int": int, "float": float, "str": str, "bool": bool}


class BuildError(RuntimeError):
    """The book could not be built; the message says which chapter, which cell, and why."""


class Parameter(NamedTuple):
    """One line of a chapter's parameters cell: `name: type = default  # reason`."""

    type: str
    default: Any
    reason: str


# ----------------------------------------------------------------------------- chapters, parameters


def chapters(root: Path | None = None) -> list[Path]:
    """The text files of all chapters, in the order of their numbers."""
    return sorted(((root or store.project_root()) / "notebooks").glob("[0-9][0-9]_*.md"))


def find_chapter(name: str | int | Path, root: Path | None = None) -> Path:
    """The chapter with this number ("5", "05"), name ("05_ftgd", "ftgd") or path.

    Raises:
        InputError: there is no such chapter; the message lists those there are.
    """
    wanted = Path(str(name)).name.removesuffix(".md")
    known = {path.stem: path for path in chapters(root)}
    for stem, path in known.items():
        if wanted in (stem, stem[3:], stem[:2]) or wanted.zfill(2) == stem[:2]:
            return path
    raise InputError(
        f"no chapter {wanted!r}{_did_you_mean(wanted, known)}; there are {', '.join(known)}"
    )


def _did_you_mean(wanted: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wanted, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _notebook(path: Path):
    """A chapter as a notebook whose code cells know their number and line in the text."""
    from jupytext.myst import myst_to_notebook

    text = path.read_text(encoding="utf-8")
    notebook = myst_to_notebook(text, add_source_map=True)
    lines, number = text.splitlines(), 0
    for cell, line in zip(notebook.cells, notebook.metadata.pop("source_map"), strict=True):
        if cell.cell_type == "code" and cell.source:
            number += 1
            first = cell.source.splitlines()[0]
            at = next(
                (i for i in range(line, len(lines)) if lines[i].strip() == first.strip()), line
            )
            cell.metadata["source"] = {"number": number, "line": at + 1, "first": first}
    return notebook


def _parameters_cell(notebook, path: Path):
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{path.name}: {len(cells)} cells are tagged `parameters`; one is needed")
    return cells[0]


def chapter_parameters(path: str | Path) -> dict[str, Parameter]:
    """The parameters of a chapter by name, read from its text; nothing is run.

    Raises:
        InputError: a line of the parameters cell is not `name: type = default  # reason`, its
            type is not one of int, float, str, bool or a list or tuple of them, or its default
            is of another type.
    """
    path = Path(path)
    cell = _parameters_cell(_notebook(path), path)
    tokens = tokenize.generate_tokens(StringIO(cell.source).readline)
    reasons = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    found = {}
    for node in ast.parse(cell.source).body:
        where = f"{path.name}, line {cell.metadata.source['line'] + node.lineno - 1}"
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            raise InputError(f"{where}: write `name: type = default  # reason`")
        name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
        reason = reasons.get(node.end_lineno)
        if not reason:
            raise InputError(f"{where}: {name} needs a reason: a comment at the end of its line")
        try:
            default = ast.literal_eval(node.value)
            same = _convert(default, kind) == default
        except ValueError:
            same = False
        if not same:
            raise InputError(f"{where}: the default of {name} is not a {kind}")
        found[name] = Parameter(kind, default, reason)
    return found


def _convert(value: Any, kind: str) -> Any:
    """A value, or the text of one, as the annotated type; ValueError where it is none."""
    if many := re.fullmatch(r"(list|tuple)\[(\w+)(, \.\.\.)?\]", kind):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError
        items = [i.strip() if isinstance(i, str) else i for i in items]
        items = [_convert(i, many[2]) for i in items if i != ""]
        return items if many[1] == "list" else tuple(items)
    if isinstance(value, str) and kind in ("int", "float"):
        value = TYPES[kind](value)
    if isinstance(value, str) and kind == "bool" and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if kind == "float" and type(value) is int:
        value = float(value)
    if kind not in TYPES or type(value) is not TYPES[kind] or value in (math.inf, -math.inf):
        raise ValueError
    if value != value:  # NaN
        raise ValueError
    return value


def check_parameters(chapter: str | int | Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides of a chapter's parameters, with texts from the command line made into values.

    A list or tuple is written with commas: `steps=100,200`.

    Raises:
        InputError: a name is unknown or a value is of another type than the annotation says.
            The message names the chapter and lists its parameters with their reasons.
    """
    path = chapter if isinstance(chapter, Path) else find_chapter(chapter)
    known = chapter_parameters(path)
    listing = "\n".join(f"  {n}: {p.type} = {p.default!r}  # {p.reason}" for n, p in known.items())
    checked = {}
    for name, value in overrides.items():
        if name not in known:
            raise InputError(
                f"{path.stem} has no parameter {name!r}{_did_you_mean(name, known)}; it has\n{listing}"
            )
        try:
            checked[name] = _convert(value, known[name].type)
        except ValueError:
            raise InputError(
                f"{path.stem}: {name} takes a {known[name].type}, not {value!r}; it has\n{listing}"
            ) from None
    return checked


# ---------------------------------------------------------------------------------------- execution


def _execute(path: Path, parameters: Mapping[str, Any], root: Path, kept: Path):
    """Run a chapter with papermill and return the notebook with its outputs.

    Raises:
        BuildError: a cell failed or warned; the notebook as far as it came lies in `kept`.
    """
    import nbformat

    with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
        target = Path(folder) / f"{path.stem}.ipynb"
        nbformat.write(_notebook(path), target)
        plain = {n: list(v) if isinstance(v, tuple) else v for n, v in parameters.items()}
        command = [sys.executable, "-m", "papermill", str(target), str(target)]
        command += ["--parameters_yaml", yaml.safe_dump(plain), "--cwd", str(root)]
        command += ["--kernel", "python3", "--language", "python", "--no-progress-bar"]
        threads = {"OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
        done = subprocess.run(
            command, env={**os.environ, **threads}, capture_output=True, text=True, check=False
        )
        notebook = nbformat.read(target, as_version=4)
    problem = _problem(notebook)
    if done.returncode and not problem:
        last = (done.stderr.strip().splitlines() or ["papermill gave no reason"])[-1]
        running = [c for c in notebook.cells if c.cell_type == "code" and _unfinished(c)]
        problem = running[0] if running else None, f"the kernel stopped: {last}"
    if problem:
        cell, what = problem
        source = cell.metadata.get("source") if cell else None
        place = f"cell {source['number']} (`{source['first']}`)" if source else "its parameters"
        line = f":{source['line']}" if source else ""
        copy = store.write_atomic(kept / f"{path.stem}.ipynb", nbformat.writes(notebook))
        raise BuildError(
            f"notebooks/{path.name}{line}: {place}: {what}\n    as far as it came: {copy}"
        )
    return notebook


def _unfinished(cell) -> bool:
    return cell.metadata.get("papermill", {}).get("status") in ("running", "failed", "pending")


def _problem(notebook):
    """The first cell that raised or printed a Python warning, and what it said; or None."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return cell, f"{output.ename}: {output.evalue}"
            if output.get("name") == "stderr" and re.search(r"\w*Warning: ", output.text):
                return cell, f"a warning, which a page must not show: {output.text.strip()}"
    return None


def run_chapter(
    chapter: str | int | Path,
    profile: str = "laptop",
    overrides: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
) -> Path:
    """Run one chapter with a profile's parameters and one's own; return the executed notebook.

    Args:
        chapter: number, name or path; see `find_chapter`.
        profile: the profile whose values are used where `overrides` has none.
        overrides: parameter values, or their texts; see `check_parameters`.
        out: the notebook to write (`.ipynb`) or a folder for it; `_build/chapters/` by default.

    Raises:
        InputError: no such chapter, profile or parameter, or a value of another type.
        BuildError: a cell failed.
    """
    import nbformat

    from taskspace_utils import runs

    path = chapter if isinstance(chapter, Path) else find_chapter(chapter)
    given = {"profile": profile, **runs.load_profile(profile).chapters.get(path.stem, {})}
    parameters = check_parameters(path, {**given, **(overrides or {})})
    root = store.project_root()
    target = Path(out) if out else root / "_build" / "chapters"
    if target.suffix != ".ipynb":
        target = target / f"{path.stem}.ipynb"
    notebook = _execute(path, parameters, root, root / "_build" / "failed")
    return store.write_atomic(target.resolve(), nbformat.writes(notebook))


# -------------------------------------------------------------------------------------------- pages


def _hashes(root: Path, *patterns: str) -> dict[str, str]:
    """The hash of each file that a pattern finds, by its path inside the project."""
    found = sorted(p for pattern in patterns for p in root.glob(pattern) if p.is_file())
    return {str(p.relative_to(root)): store.file_hash(p) for p in found if p.suffix != ".pyc"}


def _vendored() -> Path | None:
    """The folder of npm tarballs in the store, fetched where missing; None leaves the CDNs."""
    cache = store.store_path("vendor")
    for package in VENDORED:
        tarball = cache / f"{re.sub(r'[^a-z0-9.]+', '-', package)}.tgz"
        if tarball.exists():
            continue
        npm = shutil.which("npm")
        if npm is None:
            store.say("npm is not installed: pages will load MathJax and widgets from a CDN")
            return None
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", "--silent", "--fetch-retries=1", package]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            fetched = list(Path(folder).glob("*.tgz"))
            if done.returncode or not fetched:
                store.say(f"npm could not fetch {package}: pages will load it from a CDN")
                return None
            store.write_atomic(tarball, fetched[0].read_bytes())
    return cache


def _page(executed: Path, parameters: Mapping[str, Any], profile: str) -> str:
    """An executed notebook as a page: one parameters cell with the values that ran, no log."""
    import nbformat

    notebook = nbformat.read(executed, as_version=4)
    seconds = notebook.metadata.pop("papermill")["duration"]
    pages = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            continue
        if "parameters" in tags:
            cell.source = _with_values(cell.source, parameters)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for name in ("papermill", "source", "execution"):
            cell.metadata.pop(name, None)
        pages.append(cell)
    notebook.cells = pages
    version = store.versions()["taskspace-utils"]
    line = (
        f'<p class="ts-provenance">Profile <strong>{profile}</strong> · ran in {seconds:.0f} s · '
        f"taskspace-utils {version}, method {store.method_version()} · "
        f'<a href="../_sources/notebooks/{executed.name}">executed notebook</a></p>'
    )
    title = next(c for c in pages if c.cell_type == "markdown")
    title.source = re.sub(r"(?m)^(# .+)$", lambda m: f"{m[1]}\n\n{line}", title.source, count=1)
    return nbformat.writes(notebook)


def _with_values(source: str, parameters: Mapping[str, Any]) -> str:
    """The parameters cell with the defaults replaced by the values that ran."""
    lines = source.encode().splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        name, value = node.target.id, node.value
        if name in parameters and parameters[name] != ast.literal_eval(value):
            new = parameters[name]
            text = json.dumps(new, ensure_ascii=False) if isinstance(new, str) else repr(new)
            before = lines[value.lineno - 1][: value.col_offset]
            after = lines[value.end_lineno - 1][value.end_col_offset :]
            lines[value.lineno - 1 : value.end_lineno] = [before + text.encode() + after]
    return b"".join(lines).decode()


def _draw(root: Path, out: Path, pages: Mapping[str, str], cache: Path | None) -> Path:
    """Stage the sources under `out` and draw them with Jupyter Book; return the html folder."""
    stage, drawn = out / "stage", out / "drawn"
    for folder in (stage, drawn):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book")
    shutil.copy(root / "_toc.yml", stage)
    for name, text in pages.items():
        store.write_atomic(stage / "notebooks" / name, text)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["html"].pop("announcement", None)  # it says that the pages have not been run
    if cache:
        config["sphinx"]["config"].update(OFFLINE)
        config["sphinx"]["config"]["html_static_path"].append("vendor")
        for package, wanted in VENDORED.items():
            with tarfile.open(cache / f"{re.sub(r'[^a-z0-9.]+', '-', package)}.tgz") as tar:
                for member in tar:
                    member.name = member.name.removeprefix("package/")
                    if any(fnmatch(member.name, pattern) for pattern in wanted):
                        tar.extract(member, stage / "vendor", filter="data")
    store.write_atomic(stage / "_config.yml", yaml.safe_dump(config, sort_keys=False))
    program = Path(sys.executable).parent / "jupyter-book"  # it has no `python -m`
    command = [program, "build", stage, "--path-output", drawn, "-W", "--keep-going", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    bad = [x for x in said.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", x)]
    if done.returncode or bad:
        what = "\n".join(bad or said.splitlines()[-15:]).replace(f"{stage}/", "")
        raise BuildError(f"the chapters ran, but Jupyter Book objects to the pages:\n{what}")
    return drawn / "_build" / "html"


def build(profile: str = "laptop", out: str | Path | None = None, root: Path | None = None) -> Path:
    """Compute, run and draw what has changed; return the path of the book's `index.html`.

    A build that fails leaves no book behind: the old pages go before new ones are made, and the
    new ones appear in one rename, when all chapters have run and Jupyter Book has no warning.

    Args:
        profile: which grid of models and tasks; see `data/profiles/`.
        out: the folder for `html/`; `_build/` in the project by default.
        root: the project, where it isn't the one that this package lies in.

    Raises:
        InputError: no such profile, or it names a chapter or parameter that isn't there.
        BuildError: chapters failed (all others have run), or pages have warnings.
    """
    from taskspace_utils import runs

    root = (root or store.project_root()).resolve()
    out = Path(out).resolve() if out else root / "_build"
    loaded = runs.load_profile(profile)
    own = {find_chapter(name, root).stem: given for name, given in loaded.chapters.items()}
    values = {
        path: check_parameters(path, {"profile": profile, **own.get(path.stem, {})})
        for path in chapters(root)
    }
    html = out / "html"
    try:
        run = runs.sweep(loaded)
    except BaseException:
        shutil.rmtree(html, ignore_errors=True)
        raise
    shared = {
        "code": _hashes(root, "taskspace_utils/**/*.py", "data/**/*", "requirements.txt"),
        "run": _hashes(run.folder, "*.csv*"),
        "python": sys.version_info[:2],
        "data": os.environ.get("TASKSPACES_DATA", ""),
    }
    keys = {
        path: store.key_of({**shared, "text": store.file_hash(path), "parameters": given})
        for path, given in values.items()
    }
    cache = _vendored()
    pages = _hashes(root, "book/**/*", "_config.yml", "_toc.yml")
    key = store.key_of({"keys": sorted(keys.values()), "pages": pages, "offline": bool(cache)})
    index, stamp = html / "index.html", html / ".key"
    made = [index, *(html / "notebooks" / f"{path.stem}.html" for path in values)]
    if stamp.is_file() and stamp.read_text() == key and all(p.is_file() for p in made):
        store.say(f"nothing has changed since {index} was built")
        return index
    shutil.rmtree(html, ignore_errors=True)
    executed = _execute_all(values, keys, profile, root, out)
    store.say("drawing the pages")
    texts = {path.name: _page(done, values[path], profile) for path, done in executed.items()}
    drawn = _draw(root, out, {n.replace(".md", ".ipynb"): t for n, t in texts.items()}, cache)
    store.write_atomic(drawn / ".key", key)
    os.replace(drawn, html)
    store.say(f"the book is in {index}")
    return index


def _execute_all(values, keys, profile: str, root: Path, out: Path) -> dict[Path, Path]:
    """Run the chapters whose key has changed, several at a time; the executed notebooks."""
    import nbformat

    folder = store.store_path("chapters", profile)
    targets = {path: folder / keys[path] / f"{path.stem}.ipynb" for path in values}
    missing = [path for path in values if not targets[path].exists()]
    failures = []

    def one(path: Path) -> None:
        try:
            notebook = _execute(path, values[path], root, out / "failed")
        except BuildError as error:
            failures.append(str(error))
            store.say(f"  {path.stem}: failed")
            return
        store.write_atomic(targets[path], nbformat.writes(notebook))
        store.say(f"  {path.stem}: ran in {notebook.metadata.papermill['duration']:.0f} s")

    store.say(f"chapters: {len(missing)} to run, {len(values) - len(missing)} unchanged")
    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        for future in [pool.submit(one, path) for path in missing]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    if failures:
        raise BuildError("no book was built, because of\n" + "\n".join(sorted(failures)))
    return targets
