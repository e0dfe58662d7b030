"""What reads the arguments in LlamaIndex's messages takes no time over a megabyte; see core/test_readers.py."""

import runpy
import time
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock

from llamaindex_tiers.pieces import answer_of
from llm_tiers import Tier

PIECES = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "bombs.py"))["PIECES"]
MEGABYTE = 1_000_000
SECONDS = 0.5
WORST = ('{"a": 1,' + " " * MEGABYTE, '{"a": "' + "\\" * MEGABYTE, '{"a":' * (MEGABYTE // 5), "[" + "9" * MEGABYTE)
WRITTEN = (*WORST, *(piece * (MEGABYTE // len(piece)) for piece in PIECES[::4]))


@pytest.mark.parametrize("text", WRITTEN, ids=[repr(text[:12]) for text in WRITTEN])
def test_reading_arguments(text):
    block = ToolCallBlock(tool_name="look_up", tool_kwargs=text)
    legacy = {"tool_calls": [{"function": {"name": "look_up", "arguments": text}}]}
    messages = [
        ChatMessage(role=MessageRole.ASSISTANT, blocks=[block]),
        ChatMessage(role=MessageRole.ASSISTANT, content=text, additional_kwargs=legacy),
    ]
    for message in messages:
        began = time.process_time()
        (call,) = answer_of(Tier(object(), name="small"), ChatResponse(message=message)).tool_calls
        assert time.process_time() - began < SECONDS
        assert call.arguments is None
