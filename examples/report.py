"""The report of a history: what was spent and saved, and where; then one call in sentences.

    pip install -e '.[langchain]'
    python examples/report.py            # offline; writes report.html, to open in a browser
    python examples/report.py --live     # 60 sums for OpenAI's models, with OPENAI_API_KEY

The commands that are called here are those of the command line: `llm-tiers report` and `llm-tiers explain`.
"""

from __future__ import annotations

import re
import tempfile

from langchain_openai import ChatOpenAI
from offline import TIERS, adding_up_to, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers.cli import app


def grade(question: str, answer: str) -> bool:
    """Work the sum out, and look whether the answer has it."""
    return str(sum(map(int, re.findall(r"\d+", question)))) in answer


def main() -> None:
    scripts = dict(zip(TIERS, map(adding_up_to, (30, 60, 99)), strict=True))
    with offline_unless_live(scripts), tempfile.TemporaryDirectory() as folder:
        tiers = [ChatOpenAI(model=name) for name in TIERS]
        with TieredChatModel(tiers=tiers, history=folder, node="sums", grade=grade) as model:
            for number in range(60):
                message = model.invoke(f"What is {number % 40} + {13 * number % 29}?")
        # The model is closed, so its grades are written, and the folder is free for others.
        app(["report", folder], standalone_mode=False)
        app(["report", folder, "--out", "report.html"], standalone_mode=False)
        app(["explain", message.response_metadata["tiers"]["trace_id"], folder], standalone_mode=False)


if __name__ == "__main__":
    main()
