"""The page on what counts as the same shows what the code says."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "same_answers.py"


def test_the_table_is_what_the_code_says():
    script = runpy.run_path(str(SCRIPT))
    text = script["PAGE"].read_text("utf-8")
    assert script["page"](text) == text
    assert {"the same", "different", "undecided"} <= {line.split(" | ")[-1].rstrip(" |") for line in text.split("\n")}
