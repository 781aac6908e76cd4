"""YAML files that people write (lexicon, paradigms, profiles), read strictly and safely."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import yaml

from taskspace_utils.store import InputError


class _Plain(yaml.SafeLoader):
    """YAML that means what it shows: no key twice, and no aliases of aliases, which explode."""

    def __init__(self, stream):
        super().__init__(stream)
        self.around: list[str | None] = []  # anchors of the nodes that are being read
        self.holding: set[str | None] = set()  # anchors of nodes with an alias in them

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self.holding.update(self.around)
            if event.anchor in self.holding:
                problem = f"*{event.anchor} holds an alias itself: write it out"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self.around.append(event.anchor)
        node = super().compose_node(parent, index)
        self.around.pop()
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"'{key.value}' stands twice: rename or delete one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, kind: type):
    """The content of a YAML file, a list or a dict that is not empty. Raises InputError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Plain)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as a YAML file in UTF-8: {error}") from error
    need(isinstance(content, kind) and content, path, f"should hold a YAML {kind.__name__}")
    return content


def need(condition: object, where: object, rule: str) -> None:
    """Raise InputError, saying where and what, unless the condition holds."""
    if not condition:
        raise InputError(f"{where}: {rule}")


def check_keys(
    entry: object, where: str, needed: Collection[str], optional: Collection[str] = ()
) -> None:
    """Raise InputError unless `entry` is a mapping with these keys."""
    need(isinstance(entry, dict), where, f"should be a mapping with {', '.join(needed)}")
    for key in needed:
        need(entry.get(key), where, f"'{key}' is missing or empty")
    for key in entry:
        need(key in needed or key in optional, where, f"unknown key '{key}'")
