"""The parts of `benchmarks/everywhere.py`: recorded sets, the menu and its rivals on them, the lines, the picture."""
