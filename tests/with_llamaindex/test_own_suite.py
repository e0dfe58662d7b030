"""The command that runs LlamaIndex's own tests with their LLMs wrapped, on two tests of ours."""

import subprocess
import sys
from pathlib import Path

TESTS = """
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM


def test_it_answers():
    assert "Hello" in SimpleChatEngine.from_defaults(llm=MockLLM()).chat("Hello").response


def test_it_keeps_the_very_object():
    llm = MockLLM()
    assert SimpleChatEngine.from_defaults(llm=llm)._llm is llm
"""


def test_what_only_a_wrapper_fails_is_printed_by_kind(tmp_path):
    folder = tmp_path / "core" / "tests"
    folder.mkdir(parents=True)
    (folder / "test_two.py").write_text(TESTS)
    command = [sys.executable, Path(__file__).parent / "own_suite.py", folder, "--ways", "forwarder", "default"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    lines = done.stdout.splitlines()
    assert lines[0] == "as they are: 0 of 2 fail"
    sums = [line for line in lines if line.startswith(("forwarder:", "default:"))]
    assert sums == [
        f"{way}: 1 of 2 fail, 1 of them not as they are, 0 of those not in the forwarder"
        for way in ("forwarder", "default")
    ]
    named = [line for line in lines if "test_two.py" in line]
    assert named == ["    * tests/test_two.py::test_it_keeps_the_very_object"] * 2
