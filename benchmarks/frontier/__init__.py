"""The parts of `benchmarks/frontier.py`: the runs, points and what they reach, the tables, the picture."""
