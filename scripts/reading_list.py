"""Write book/reading_list.md, the page of the reading list, from data/reading.yml.

    python scripts/reading_list.py

A test demands that the page is what this script makes of the data.
"""

from __future__ import annotations

import re
import sys

from taskspace_utils.store import InputError, data_path, project_root, write_atomic
from taskspace_utils.yaml_files import check_keys, need, read_yaml

HEAD = """\
% Made by `python scripts/reading_list.py` from data/reading.yml: change that file, not this one.

(reading-list)=
# Reading list

Papers around language models, and how each bears on the method of this book {cite}`weber2024`.
Those that have nothing to do with task spaces are listed too, with the reason.
Years are those of the identifiers.
Where authors and year are missing, we could not make sure of them.
"""


def escaped(text: object) -> str:
    """Text that MyST shows as it stands."""
    return re.sub(r"([\\`*_{}\[\]<>$|~#@])", r"\\\1", str(text)).replace("&", "&amp;")


def source(paper: dict) -> str:
    """Authors, year and a link, as far as they are known."""
    if "cite" in paper:
        who = f"{{cite:t}}`{paper['cite']}`. "
    else:
        who = f"{escaped(paper['authors'])} ({paper['year']}). " if "authors" in paper else ""
    name = paper.get("id", "")
    number = name.removeprefix("arXiv:")
    link = f"[{name}](https://arxiv.org/abs/{number}). " if number != name else f"{escaped(name)}. "
    return who + (link if name else "")


def entry(paper: dict, text: str) -> str:
    """A paper as an item of a list, with links to the chapters that it bears on."""
    chapters = " · ".join(f"{{ref}}`{label}`" for label in paper.get("bears_on", ()))
    about = f"- **{escaped(paper['title'])}.** {source(paper)}".rstrip()
    lines = [f"{about}\\", f"  {escaped(text)}"]  # a backslash at its end breaks a line
    return "\n".join([*lines, f"  Bears on: {chapters}"] if chapters else lines)


def checked(data: dict) -> dict:
    """The data, if every paper has what the page needs. Raises InputError."""
    path = data_path("reading.yml")
    check_keys(data, str(path), ("groups", "not_here", "papers", "ancestors"))
    known = ("year", "authors", "verified", "id", "cite")
    for paper in (*data["papers"], *data["ancestors"]):
        here = f"{path}, {paper.get('title', paper)!r}"
        if "not_here" in paper:
            check_keys(paper, here, ("title", "id", "not_here"), known)
        else:
            check_keys(paper, here, ("title", "group", "bears_on", "how"), known)
            need(paper["group"] in data["groups"], here, f"no group {paper['group']!r}")
        sure = "cite" in paper or {"authors", "year"} <= set(paper)
        need(sure or paper.get("verified") is False, here, "authors and year, or verified: false")
    return data


def page(data: dict) -> str:
    """The page: a section a group, then the papers that are not here."""
    papers = [*data["ancestors"], *data["papers"]]
    text = HEAD
    for name, group in data["groups"].items():
        found = [entry(p, p["how"]) for p in papers if p.get("group") == name]
        text += section(group, found)
    return text + section(
        data["not_here"], [entry(p, p["not_here"]) for p in papers if "not_here" in p]
    )


def section(group: dict, entries: list[str]) -> str:
    """A heading, what the group is, and its papers."""
    return "\n".join(
        ["", f"## {escaped(group['title'])}", "", escaped(group["about"]), "", *entries, ""]
    )


def main() -> None:
    data = checked(read_yaml(data_path("reading.yml"), dict))
    write_atomic(project_root() / "book" / "reading_list.md", page(data))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
