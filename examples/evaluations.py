"""Feedback on evaluations: which tier graded an answer, and what people say of the grade.

    pip install -e '.[llamaindex]'
    python examples/evaluations.py            # offline
    python examples/evaluations.py --live     # two answers for OpenAI's smallest model to grade, with OPENAI_API_KEY

LlamaIndex's evaluators open no span, so nothing ties an `EvaluationResult` to the call that it comes from. A span of
the application's own does: what it returns is known to `tiers_of`, whose trace id `feedback` takes.
"""

from __future__ import annotations

import asyncio

from llama_index.core.evaluation import CorrectnessEvaluator
from llama_index.core.instrumentation import get_dispatcher
from llama_index.llms.openai import OpenAI
from offline import TIERS, offline_unless_live

from llamaindex_tiers import TieredLLM, tiers_of
from llm_tiers import FixedStarter, Policy, Unjudged

ANSWERS = {"What is the capital of France?": "Paris", "And of Australia?": "Sydney"}


async def evaluated(llm: TieredLLM) -> None:
    evaluator = CorrectnessEvaluator(llm=llm)
    # Whoever calls it, a `BatchEvalRunner` included.
    evaluator.aevaluate = get_dispatcher().span(evaluator.aevaluate)
    for question, answer in ANSWERS.items():
        result = await evaluator.aevaluate(query=question, response=answer)
        tiers_said = tiers_of(result) or {}
        if result.passing is None:  # no tier put its grade as asked, so there is nothing to say of it
            continue
        # What a person who reads the grade says of it.
        right = bool(result.passing) == (answer == "Paris")
        await llm.afeedback(tiers_said["trace_id"], correct=right)
        print(f"{answer:8} score {result.score} by {tiers_said['tier']}: {'right' if right else 'wrong'}")


def main() -> None:
    # Offline the smallest likes every answer.
    with offline_unless_live(dict.fromkeys(TIERS, "5\nIt is right.")):
        tiers = [OpenAI(model=name) for name in TIERS]
        with TieredLLM(tiers, policy=Policy("one", FixedStarter(TIERS[0]), Unjudged())) as llm:
            asyncio.run(evaluated(llm))


if __name__ == "__main__":
    main()
