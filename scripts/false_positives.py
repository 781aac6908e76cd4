"""Write `data/reference/false_positives.csv`: how often the book's tests find what isn't there.

    python scripts/false_positives.py [--draws 400] [--stress-draws 60]

Spaces are drawn over the real tasks of the grammar and their families; no model is needed. With the
defaults it takes about a quarter of an hour on one core.
"""

import argparse

from taskspace_utils.store import data_path
from taskspace_utils.studies.nulls import table
from taskspace_utils.tables import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=400, help="spaces drawn of each null")
    parser.add_argument("--stress-draws", type=int, default=60, help="of the test of stress")
    options = parser.parse_args()
    labels = read_table(data_path("hypotheses", "grammar.csv"))
    families = labels[labels["field"] != "control"].set_index("task")["family"]
    found = table(families, options.draws, options.stress_draws)
    path = data_path("reference") / "false_positives.csv"
    write_table(path, found, ["test", "space", "labels"])


if __name__ == "__main__":
    main()
