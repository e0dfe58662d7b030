"""The first call: one model over three tiers, which of them answered, and why.

    pip install -e '.[langchain]'
    python examples/first_call.py            # offline
    python examples/first_call.py --live     # two questions to OpenAI's models, with OPENAI_API_KEY

A new model knows nothing of its calls yet, so at first all tiers answer, and the trace says what that cost.
"""

from __future__ import annotations

import asyncio

from langchain_openai import ChatOpenAI
from offline import TIERS, offline_unless_live

from langchain_tiers import TieredChatModel


def main() -> None:
    with offline_unless_live(dict.fromkeys(TIERS, "The answer is 333.")):
        model = TieredChatModel(tiers=[ChatOpenAI(model=name) for name in TIERS])
        message = model.invoke("What is 997^-1 modulo 1000?")
        print(message.text)
        trace_id = message.response_metadata["tiers"]["trace_id"]
        print(model.history.trace(trace_id).explain())

        # The same model, awaited.
        message = asyncio.run(model.ainvoke("What is -3^-1 modulo 1000?"))
        print(f"awaited: {message.text}")
        model.close()


if __name__ == "__main__":
    main()
