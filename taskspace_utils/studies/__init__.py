"""Studies: a room each for what one chapter alone asks, too long to stand in the chapter itself.

A study reads tables, or probes models, by the rooms of the method; no result of the others depends
on it.
"""
