"""Publishing: what makes pages of chapters and runs: the book, the course, the report.

No number is computed here: a room takes texts, executed notebooks, or the tables of a run, and
writes what a person reads.
"""
