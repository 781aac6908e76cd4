"""Drawing: Jupyter Book makes pages of staged sources, which then need no network.

Jupyter Book runs nothing here, and its warnings are errors. What pages would load from a CDN is
fetched once by npm and kept in the store.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

import yaml

from taskspace_utils import store
from taskspace_utils.publishing import pages
from taskspace_utils.publishing.chapters import BuildError

# npm packages and the files taken from each: with them, pages need no network to be read.
VENDORED = {
    "mathjax@3.2.2": ("es5/tex-chtml-full.js", "es5/output/chtml/fonts/*"),
    "@jupyter-widgets/html-manager@1.0.15": ("dist/embed.js", "dist/*.woff2"),
}
OFFLINE = {
    "mathjax_path": "es5/tex-chtml-full.js",
    "nb_ipywidgets_js": {"dist/embed.js": {}},
    "html_static_path": ["book/assets", "vendor"],
}


def tarball(package: str) -> Path:
    """Where the store keeps an npm package that pages need."""
    return store.store_path("vendor", re.sub(r"[^a-z0-9.]+", "-", package) + ".tgz")


def vendored(packages: Iterable[str] = tuple(VENDORED)) -> bool:
    """Are all npm packages in the store? Those that aren't are fetched; else CDNs remain."""
    for package in packages:
        if tarball(package).exists():
            continue
        npm = shutil.which("npm")
        if npm is None:
            store.say(f"npm is not installed: pages will load {package} from a CDN")
            return False
        with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
            command = [npm, "pack", "--silent", "--fetch-retries=1", package]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            fetched = list(Path(folder).glob("*.tgz"))
            if done.returncode or not fetched:
                store.say(f"npm could not fetch {package}: pages will load it from a CDN")
                return False
            store.write_atomic(tarball(package), fetched[0].read_bytes())
    return True


def draw(texts: Mapping[str, str], root: Path, out: Path, offline: bool) -> Path:
    """Stage the sources under `out` and draw them with Jupyter Book; return the html folder."""
    stage, drawn = out / "stage", out / "drawn"
    for folder in (stage, drawn):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book")
    shutil.copy(root / "_toc.yml", stage)
    for name, text in texts.items():
        store.write_atomic(stage / "notebooks" / name, text)
    if (out / "figures").is_dir():
        shutil.copytree(out / "figures", stage / "notebooks" / "figures")
        pictures = stage / "pictures" / "figures"  # pages show these; the others are downloaded
        shutil.copytree(
            out / "figures",
            pictures,
            ignore=lambda _, names: [name for name in names if not name.endswith(".svg")],
        )
    if (out / pages.TIMES).is_file():
        shutil.copy(out / pages.TIMES, stage / "book")
    config = pages.with_launch_buttons(yaml.safe_load((root / "_config.yml").read_text("utf-8")))
    config["html"].pop("announcement")  # it says that the chapters have not been run
    (stage / "pictures").mkdir(exist_ok=True)
    config["sphinx"]["config"]["html_extra_path"] = ["pictures"]
    if offline:
        config["sphinx"]["config"].update(OFFLINE)
    for package, wanted in VENDORED.items() if offline else ():
        with tarfile.open(tarball(package)) as tar:
            for member in tar:
                member.name = member.name.removeprefix("package/")
                if any(fnmatch(member.name, pattern) for pattern in wanted):
                    tar.extract(member, stage / "vendor", filter="data")
    store.write_atomic(stage / "_config.yml", yaml.safe_dump(config, sort_keys=False))
    jupyter_book(stage, drawn)
    return drawn / "_build" / "html"


def jupyter_book(stage: Path, out: Path, options: Iterable[str | Path] = ()) -> None:
    """Draw staged sources into OUT/_build.

    Raises:
        BuildError: Jupyter Book failed or has a warning; the message names the pages.
    """
    program = Path(sys.executable).parent / "jupyter-book"  # it has no `python -m`
    command = [program, "build", stage, "--path-output", out, "-W", "--keep-going", "-q", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)  # colours
    said = said.replace(f"{stage}/", "").splitlines()
    complaint = r"\b(WARNING|ERROR|CRITICAL)\b|\(exception: "  # the latter is an extension's
    bad = [line for line in said if re.search(complaint, line)]
    if done.returncode or bad:
        text = "\n".join(bad or said[-15:])
        raise BuildError(f"the chapters ran, but Jupyter Book objects to the pages:\n{text}")
