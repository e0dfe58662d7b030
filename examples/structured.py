"""Structured output: an object that does not fit its class goes one tier up, so yours always fits.

    pip install -e '.[langchain]'
    python examples/structured.py            # offline
    python examples/structured.py --live     # three tickets for OpenAI's models, with OPENAI_API_KEY

Offline the smallest model writes the urgency as a word where a number is asked for.
"""

from __future__ import annotations

import asyncio
import json
from typing import Literal

from langchain_openai import ChatOpenAI
from offline import TIERS, offline_unless_live
from pydantic import BaseModel, Field

from langchain_tiers import TieredChatModel
from llm_tiers import FixedStarter, Trace
from llm_tiers.testing import LoopbackRequest

TICKETS = ("The invoice is wrong.", "The program crashes at its start, and nobody can work!", "A refund, please.")


class Ticket(BaseModel):
    """What a ticket is about."""

    team: Literal["billing", "support"]
    urgency: int = Field(ge=1, le=5)


def play(request: LoopbackRequest) -> str:
    crash = "crash" in request.ask
    urgency = 5 if crash else 2
    return json.dumps(
        {"team": "support" if crash else "billing", "urgency": "high" if request.model == TIERS[0] else urgency}
    )


def show(trace: Trace) -> None:
    print("asked:", ", ".join(f"{attempt.tier} {attempt.verdict or 'does not fit'}" for attempt in trace.attempts))


def main() -> None:
    with offline_unless_live(dict.fromkeys(TIERS, play)):
        tiers = [ChatOpenAI(model=name) for name in TIERS]
        # Always begins with the smallest tier; the default would have all tiers answer the first calls.
        with TieredChatModel(tiers=tiers, starter=FixedStarter(TIERS[0]), on_trace=show) as model:
            sorter = model.with_structured_output(Ticket)
            print(repr(sorter.invoke(TICKETS[0])))
            print(*map(repr, asyncio.run(sorter.abatch(list(TICKETS[1:])))), sep="\n")


if __name__ == "__main__":
    main()
