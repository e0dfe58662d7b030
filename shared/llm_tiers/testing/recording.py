"""Recorded answers of several models to the same questions, served as if the models answered now."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Self

from llm_tiers.testing.turns import HttpError, LoopbackRequest, Reply, Script

__all__ = ["RecordedAnswer", "RecordedQuestion", "Recording"]

_MARKED = re.compile(r"^<<(\w+) (question|answer)>>\n(.*?)\n<<\1 end>>$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """What a model said.

    Attributes:
        text: What it said.
        verdict: What the recorded judge said of it: `"yes"`, `"no"`, another word, or None where nobody judged it.
        input_tokens: Input tokens of the answer.
        output_tokens: Output tokens of the answer.
        judge_input_tokens: Input tokens of the judge's call.
        judge_output_tokens: Output tokens of the judge's call.
    """

    text: str = field(repr=False)
    verdict: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    judge_input_tokens: int = 0
    judge_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RecordedQuestion:
    """A question and what each model said to it.

    Attributes:
        set: Name of the set of questions that it belongs to.
        prompt: The question, with its choices where it has some, as it is to be asked.
        answers: The answers by model name, cheapest model first.
        uid: What the file calls the question, or None.
    """

    set: str
    prompt: str
    answers: Mapping[str, RecordedAnswer]
    uid: int | str | None = None


class Recording:
    """Recorded answers, with the recorded verdicts of a judge.

    `scripts` gives a `LoopbackServer` one script a model: asked one of the questions in its exact words, a model gives
    its recorded answer with the recorded tokens; asked as the model of a `PromptJudge`, it gives the recorded verdict.

    Args:
        questions: The questions; of two with the same prompt the first counts.
    """

    def __init__(self, questions: Iterable[RecordedQuestion]) -> None:
        self._by_prompt: dict[str, RecordedQuestion] = {}
        for question in questions:
            # A request names its question by the prompt alone, so of two with the same prompt one must go.
            self._by_prompt.setdefault(question.prompt.strip(), question)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of one JSON object a line, gzipped or not.

        An object has `set`, `question`, `choices` (for multiple choice) and `responses`: by model name, cheapest first,
        `text`, `verdict`, and the tokens `gen_in`, `gen_out`, `judge_in`, `judge_out`. It may have a `uid`.
        """
        path = Path(path)
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        return cls(_question(json.loads(line)) for line in text.splitlines() if line.strip())

    @property
    def questions(self) -> tuple[RecordedQuestion, ...]:
        """The questions in the order of the file."""
        return tuple(self._by_prompt.values())

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models, cheapest first."""
        return tuple(dict.fromkeys(name for question in self.questions for name in question.answers))

    def scripts(self) -> dict[str, Script]:
        """Return each model's script."""
        return {model: partial(self._reply, model) for model in self.models}

    def _reply(self, model: str, request: LoopbackRequest) -> Reply | HttpError:
        # The judge may be one of the recorded models: what is asked decides, not who is asked.
        if request.judges:
            return self._verdict(request)
        question = self._by_prompt.get(request.ask.strip())
        if question is None or model not in question.answers:
            return HttpError(404, f"{model} has no recorded answer to this question.")
        answer = question.answers[model]
        return Reply(answer.text, input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)

    def _verdict(self, request: LoopbackRequest) -> Reply | HttpError:
        marked = {title: text for _, title, text in _MARKED.findall(request.ask)}
        question = self._by_prompt.get(marked.get("question", "").strip())
        answers = question.answers.values() if question else ()
        # Where two models said the same, the cheaper one's verdict counts.
        given = marked.get("answer", "").strip()
        judged = next((answer for answer in answers if answer.text.strip() == given), None)
        if judged is None:
            return HttpError(404, "There is no recorded verdict on this answer.")
        return Reply(
            judged.verdict or "unknown",
            input_tokens=judged.judge_input_tokens,
            output_tokens=judged.judge_output_tokens,
        )


def _question(data: Mapping[str, Any]) -> RecordedQuestion:
    choices = (f"({letter}) {choice}" for letter, choice in zip(ascii_uppercase, data.get("choices", ()), strict=False))
    return RecordedQuestion(
        set=data["set"],
        prompt="\n".join([data["question"], *choices]),
        answers={model: _answer(response) for model, response in data["responses"].items()},
        uid=data.get("uid"),
    )


def _answer(data: Mapping[str, Any]) -> RecordedAnswer:
    return RecordedAnswer(
        text=data["text"],
        verdict=data["verdict"],
        input_tokens=data["gen_in"],
        output_tokens=data["gen_out"],
        judge_input_tokens=data["judge_in"] or 0,
        judge_output_tokens=data["judge_out"] or 0,
    )
