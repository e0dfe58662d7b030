"""A streaming chat with a memory: LangGraph keeps the conversation, and one model over three tiers answers it.

    pip install -e '.[agents]'
    python examples/chat.py            # offline
    python examples/chat.py --live     # three turns with OpenAI's models, with OPENAI_API_KEY

Nothing of a rejected answer is shown. An answer that nobody has to judge streams as it is made.
"""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from offline import TIERS, offline_unless_live

from langchain_tiers import TieredChatModel
from llm_tiers.testing import LoopbackRequest

THREAD = {"configurable": {"thread_id": "ada"}}


def play(request: LoopbackRequest) -> str:
    """Play a model that knows what was said before."""
    names = [text.rpartition(" ")[2] for text in request.text.splitlines() if text.startswith("My name is ")]
    return f"Your name is {names[-1]}" if "?" in request.ask else f"Hello, {names[-1]}"


def said(text: str) -> dict[str, Any]:
    print(f"\n> {text}")
    return {"messages": [("user", text)]}


def main() -> None:
    with offline_unless_live(dict.fromkeys(TIERS, play)):
        model = TieredChatModel(tiers=[ChatOpenAI(model=name) for name in TIERS])
        chat = create_agent(model, tools=[], checkpointer=InMemorySaver())
        for text in ("My name is Ada.", "What is my name?"):
            for chunk, _ in chat.stream(said(text), THREAD, stream_mode="messages"):
                if isinstance(chunk, AIMessageChunk):
                    print(chunk.text, end="|", flush=True)
        asyncio.run(go_on(chat))
        model.close()


async def go_on(chat: Any) -> None:
    """Ask on in the same conversation, awaited; the memory is the same."""
    async for chunk, _ in chat.astream(said("And what is it again?"), THREAD, stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk):
            print(chunk.text, end="|", flush=True)
    print()


if __name__ == "__main__":
    main()
