"""What the commands of `taskspaces` do that make pages: chapters, the book, a course, figures.

`cli` reads their options. No torch is imported before a command needs it.
"""

from __future__ import annotations

from pathlib import Path

from taskspace_utils import store
from taskspace_utils.store import InputError, say


def chapter(options) -> None:
    """Execute a chapter."""
    from taskspace_utils.publishing import chapters

    store.store_path()  # refuses a store of a newer version before anything runs
    path = chapters.run_chapter(options.chapter, options.profile, _given(options.p), options.out)
    say(f"executed: {path}")


def _given(texts: list[str]) -> dict[str, str]:
    found = {}
    for given in texts:
        name, equals, value = given.partition("=")
        if not equals:
            raise InputError(f"-p {given}: write NAME=VALUE")
        found[name] = value
    return found


def book(options) -> None:
    """Compute, run and draw the book."""
    _built(options)


def _built(options) -> Path:
    """The first page of the book, which is built where it isn't."""
    from taskspace_utils.publishing.book import build

    return build(options.profile, options.out, None, options.workers, options.scheduler)


def epub(options) -> None:
    """Make an EPUB of the pages that were last built."""
    from taskspace_utils.publishing import epub

    epub.build(options.book, options.out)


def course(options) -> None:
    """Pack a course beside the book."""
    from taskspace_utils.publishing.course import build

    print(build(_built(options)))


def collect(options) -> None:
    """Collect what students handed in."""
    from taskspace_utils.publishing.gradebook import collected

    table = collected(options.folder)
    if options.out:
        say(f"{len(table)} files: {store.write_atomic(options.out, table.to_csv(index=False))}")
    else:
        print(table.fillna("").to_string(index=False))


def redraw(options) -> None:
    """Draw a figure from its table, or list the figures."""
    from taskspace_utils.publishing import redraw

    folder = Path(options.tables or store.project_root() / "_build" / "figures")
    if options.name is None:
        known = redraw.listing(folder)
        print(known.to_string(index=False) if len(known) else f"no figures in {folder}")
        say(f"with --run, figures can be drawn of a run folder: {', '.join(redraw.modules())}")
        return
    out = Path(options.out or f"{options.name}.png")
    if out.suffix not in redraw.FORMATS:  # before anything is drawn
        raise InputError(f"--out {out}: the name must end in {', '.join(redraw.FORMATS)}")
    if options.p and not options.of:
        raise InputError("-p names a model of a run: give --run too")
    where = {n: int(v) if v.lstrip("-").isdecimal() else v for n, v in _given(options.p).items()}
    say(f"figure: {redraw.save(redraw.redraw(options.name, folder, options.of, where), out)}")
