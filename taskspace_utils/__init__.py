"""Task Spaces: the helper package of the companion. See `README.md` and the chapters."""
