"""The examples run as they stand, offline, and show what they promise."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_first_call_learns_where_to_start(capsys):
    runpy.run_path(str(EXAMPLES / "first_call.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    starts = {line.split("?")[0].split(".")[0]: line for line in lines}
    assert len(starts) == len(lines) == 12
    assert all(" small -> small " in line for line in lines if "capital" in line)
    assert all("-> large " in line for line in lines if "Prove" in line)
    assert " small -> large " in lines[1]
    assert " large -> large " in lines[-1]
