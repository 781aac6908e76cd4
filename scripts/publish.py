"""Put the book's notebooks on a branch, to which its launch buttons lead.

    python scripts/publish.py [--remote NAME_OR_URL] [--branch notebooks] [--dry-run]

The branch holds the commit that is checked out and, beside each chapter's text, the chapter as it
ran (`notebooks/05_ftgd.ipynb`) and without its solutions (`notebooks/student/05_ftgd.ipynb`).
Run `make book` first. Only git objects are written here: no file, branch or index of yours changes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell

from taskspace_utils.publishing import editions, pages
from taskspace_utils.publishing.chapters import find_chapter
from taskspace_utils.store import InputError, project_root, say

ROOT = project_root()
SETUP = """\
# On Colab: fetch the project and install what it needs. Anywhere else this cell does nothing.
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 --branch {branch} {address} /content/task-spaces
    %pip install --quiet --editable "/content/task-spaces[book]"
    sys.path.insert(0, "/content/task-spaces")  # an editable install is seen by the next kernel
"""


def git(*arguments: str, text: str | None = None, index: str = "") -> str:
    """What a git command prints, in the project; its complaint as an `InputError`."""
    env = {**os.environ, **({"GIT_INDEX_FILE": index} if index else {})}
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, env=env, input=text, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise InputError(f"git {arguments[0]}: {done.stderr.strip() or 'failed'}")
    return done.stdout.strip()


def notebooks(built: Path, address: str, branch: str, smoke: bool = False) -> dict[str, str]:
    """The notebooks to publish, by their paths on the branch: executed ones, and unsolved ones.

    Args:
        built: the folder of the book's pages.
        address: the repository's; where there is none, notebooks have no cell that fetches it.
        smoke: publish also what tiny models gave.

    Raises:
        InputError: there are no pages, or they are of profile smoke.
    """
    found = {}
    for path in sorted((built / "_sources" / "notebooks").glob("*.ipynb")):
        ran = nbformat.read(path, as_version=4)
        title = next(cell for cell in ran.cells if cell.cell_type == "markdown")
        if "<strong>smoke</strong>" in title.source and not smoke:
            raise InputError(f"{path.name} is of profile smoke: `make book`, or say --smoke")
        title.source = re.sub(r' · <a href="[^"]*">executed notebook</a>', "", title.source)
        unsolved = editions.student(find_chapter(path.stem))
        for number, cell in enumerate(unsolved.cells):
            cell.id = f"cell-{number}"  # else drawn at random: every time another commit
        for folder, notebook in (("notebooks", ran), ("notebooks/student", unsolved)):
            if address:
                code = SETUP.format(address=address, branch=branch)
                cell = new_code_cell(code, id="on-colab", metadata={"tags": ["hide-input"]})
                notebook.cells.insert(notebook.cells.index(_first_markdown(notebook)) + 1, cell)
            nbformat.validate(notebook)
            found[f"{folder}/{path.name}"] = nbformat.writes(notebook) + "\n"
    if not found:
        raise InputError(f"no notebooks in {built}: run `make book` first")
    return found


def _first_markdown(notebook):
    return next(cell for cell in notebook.cells if cell.cell_type == "markdown")


def commit(files: dict[str, str], parent: str, message: str) -> str:
    """A commit of HEAD's tree with these files; "" where that is what the parent holds."""
    with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
        index = f"{folder}/index"
        git("read-tree", "HEAD", index=index)
        for path, text in files.items():
            blob = git("hash-object", "-w", "--stdin", text=text)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", index=index)
        tree = git("write-tree", index=index)
    if parent and git("rev-parse", f"{parent}^{{tree}}") == tree:
        return ""
    return git("commit-tree", tree, *(["-p", parent] if parent else []), "-m", message)


def publish(remote: str, branch: str, files: dict[str, str]) -> str:
    """Commit on top of what the remote's branch has, and push; the commit, or "" if none."""
    there = git("ls-remote", remote, f"refs/heads/{branch}").split("\t")[0]
    if there:
        git("fetch", "--quiet", remote, f"refs/heads/{branch}")
    made = commit(files, there, f"Notebooks of {git('rev-parse', '--short', 'HEAD')}")
    if made:
        git("push", "--quiet", remote, f"{made}:refs/heads/{branch}")
    return made


def main() -> int:
    address = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--remote", default=address, help="default: repository.url of _config.yml")
    parser.add_argument("--branch", default=pages.BRANCH, help=f"default {pages.BRANCH}")
    parser.add_argument("--built", default=ROOT / "_build" / "html", type=Path, metavar="DIR")
    parser.add_argument("--smoke", action="store_true", help="publish results of profile smoke too")
    parser.add_argument("--dry-run", action="store_true", help="only list what would be there")
    options = parser.parse_args()
    try:
        files = notebooks(options.built, address, options.branch, options.smoke)
        if options.dry_run:
            say(
                "\n".join(
                    f"{path}  {len(json.loads(t)['cells'])} cells" for path, t in files.items()
                )
            )
            return 0
        if not options.remote:
            raise InputError("no --remote, and repository.url in _config.yml is empty")
        if git("status", "--porcelain", "--untracked-files=no"):
            raise InputError("files differ from the last commit: commit them, and build the book")
        made = publish(options.remote, options.branch, files)
    except InputError as error:
        say(f"publish: {error}")
        return 2
    say(f"{options.branch}: {made[:9]}, {len(files)} notebooks" if made else "nothing has changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
