"""The examples run as they stand, offline, and show what they promise."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_first_call_learns_where_to_start(capsys):
    runpy.run_path(str(EXAMPLES / "first_call.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert all(" small -> small " in line for line in lines if "capital" in line)
    hard = [line for line in lines if "Prove" in line]
    assert all("-> medium " in line for line in hard)
    assert " small -> medium " in hard[0]
    assert " medium -> medium " in hard[-1]
