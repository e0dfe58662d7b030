"""What a history learns in a dozen calls: which questions may start at the smallest tier, and which start above it.

    pip install -e '.[langchain]'
    python examples/learning.py            # offline
    python examples/learning.py --live     # a dozen questions to OpenAI's models, with OPENAI_API_KEY

Offline the smallest model knows capitals and nothing else, and the judge says so. After some calls the others go to the
middle one at once; the largest is never needed.
"""

from __future__ import annotations

from langchain_openai import ChatOpenAI
from offline import TIERS, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers import AccuracyEstimator, Trace
from llm_tiers.testing import LoopbackRequest

EASY = [f"What is the capital of {country}?" for country in ("France", "Peru", "Kenya", "Japan", "Norway", "Chad")]
HARD = [f"Prove that the number {number} is not a sum of two squares." for number in (3, 7, 11, 19, 23, 31)]


def small(request: LoopbackRequest) -> str:
    return "Paris" if "capital" in request.ask else "Because it is odd."


def able(request: LoopbackRequest) -> str:
    if request.judges:
        return "no" if "Because it is odd." in request.ask else "yes"
    return "Squares are 0 or 1 modulo 4, and this number is 3 modulo 4."


def show(trace: Trace) -> None:
    """Take the trace of a call that has ended, with nothing cut short."""
    print(f"{trace.start:>10} -> {trace.final:10}  {trace.reason}")


def main() -> None:
    with offline_unless_live(dict(zip(TIERS, (small, able, able), strict=True))):
        # Few neighbours and a weak prior, so that a dozen calls show what a day's traffic does with the defaults.
        starter = AccuracyEstimator(k=4, strength=1, explore=0)
        tiers = [ChatOpenAI(model=name) for name in TIERS]
        with TieredChatModel(tiers=tiers, starter=starter, on_trace=show) as model:
            for question in [asked for pair in zip(EASY, HARD, strict=True) for asked in pair]:
                print(f"{question:58}", end="")
                model.invoke(question)


if __name__ == "__main__":
    main()
