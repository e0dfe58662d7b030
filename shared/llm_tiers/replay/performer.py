"""The performer that looks model calls up in a table instead of making them."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from llm_tiers.call.answer import Answer
from llm_tiers.errors import TierError
from llm_tiers.usage import Usage

if TYPE_CHECKING:
    from llm_tiers.call.requests import ModelCall
    from llm_tiers.replay.table import ReplayTable

__all__ = ["RecordedPerformer"]


class RecordedPerformer:
    """Answers the calls that belong to one question with what was recorded.

    Args:
        table: The recorded outcomes.
        row: The question.
    """

    answers_at_once = True

    def __init__(self, table: ReplayTable, row: int) -> None:
        self._table = table
        self._row = row

    def generate(self, call: ModelCall) -> Answer:
        """Return the recorded answer or verdict.

        Raises:
            TierError: The judge is asked about an answer that has no recorded verdict.
        """
        return self._verdict(call) if call.role == "judge" else self._answer(call)

    def stream(self, call: ModelCall) -> Generator[Any, None, Answer]:
        """Return the recorded answer; a table has no chunks."""
        yield from ()
        return self.generate(call)

    def _answer(self, call: ModelCall) -> Answer:
        table, at = self._table, (self._row, self._table.tiers.index(call.tier.name))
        exact, equal = int(table.answer_exact[at]), int(table.answer_equal[at])
        return Answer(
            tier=call.tier.name,
            text="Abstain" if table.abstained[at] else f"The answer is {equal}.",
            value=None if exact < 0 else str(exact),
            usage=Usage(int(table.gen_in[at]), int(table.gen_out[at])),
            seconds=float(table.gen_s[at]),
        )

    def _verdict(self, call: ModelCall) -> Answer:
        table, at = self._table, (self._row, self._table.tiers.index(call.subject or ""))
        verdict = int(table.verdict[at])
        if verdict < 0:
            raise TierError(call.tier.name, "no verdict is recorded for this answer")
        return Answer(
            # The cost is that of the tier that judged in the recording, even if another one is asked now: its tokens
            # and its verdict belong together.
            tier=table.tiers[table.judge_tier[at]],
            text="yes" if verdict else "no",
            value=None,
            usage=Usage(int(table.judge_in[at]), int(table.judge_out[at])),
            seconds=float(table.judge_s[at]),
        )
