"""A stream has the chunks of the tier that answers, none more: the trace stands on the last one."""

import asyncio

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.memory import ChatMemoryBuffer

from llamaindex_tiers import TieredLLM, tiers_of
from llm_tiers import FixedStarter, Policy, Tier, Unjudged
from llm_tiers.testing import Hang, Reply, ToolCall

ASK = "What is the capital of France?"
WAYS = ["stream_complete", "stream_chat", "astream_complete", "astream_chat"]
COUNTED = {"additional_kwargs": {"stream_options": {"include_usage": True}}}


def arguments(way):
    return [ChatMessage(role="user", content=ASK)] if way.endswith("chat") else ASK


def read(llm, way, asked, each=None, **settings):
    """Read a stream in sync code or in asyncio; return its chunks, and what each showed when it came."""
    chunks, shown = [], []

    def take(chunk):
        chunks.append(chunk)
        shown.append(what_it_shows(chunk))
        if each is not None:
            each(chunk)

    async def atake():
        async for chunk in await getattr(llm, way)(asked, **settings):
            take(chunk)

    if way.startswith("a"):
        asyncio.run(asyncio.wait_for(atake(), 20))
    else:
        for chunk in getattr(llm, way)(asked, **settings):
            take(chunk)
    return chunks, shown


def what_it_shows(chunk):
    if isinstance(chunk, CompletionResponse):
        return chunk.delta, chunk.text
    if not isinstance(chunk, ChatResponse):
        return chunk.model_dump()
    calls = chunk.message.additional_kwargs.get("tool_calls", ())
    blocks = [block.model_dump() for block in chunk.message.blocks]
    return chunk.delta, blocks, [(call.function.name, call.function.arguments) for call in calls]


@pytest.fixture(params=["usage asked for", "no usage"])
def settings(request):
    return COUNTED if request.param == "usage asked for" else {}


@pytest.fixture(params=["live", "judged"])
def llm(request, tiered, like, settings):
    tiers = [like(name, **settings) for name in ("small", "medium", "large")]
    if request.param == "live":
        return tiered(tiers=tiers, policy=Policy("route", FixedStarter("small"), Unjudged()))
    return tiered(tiers=tiers, starter=FixedStarter("small"), judge=lambda question, answer: True)


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_has_the_chunks_that_the_tier_gave(server, llm, like, settings, way):
    server.scripts["small"] = "Paris it is"

    plain, shown_by_plain = read(like("small", **settings), way, arguments(way))
    tiered, shown = read(llm, way, arguments(way))

    assert shown == shown_by_plain
    assert [type(chunk) for chunk in tiered] == [type(chunk) for chunk in plain]
    assert tiers_of(tiered[-1])["final"] == "small"
    assert all(tiers_of(chunk) is None for chunk in tiered[:-1])


@pytest.mark.parametrize("way", ["stream_chat_with_tools", "astream_chat_with_tools"])
def test_so_has_a_stream_of_tool_calls(server, llm, like, settings, look_up, way):
    server.scripts["small"] = Reply(
        calls=(ToolCall("look_up", {"city": "Paris"}), ToolCall("look_up", {"city": "Ulm"}))
    )

    _, shown_by_plain = read(like("small", **settings), way, [look_up], user_msg=ASK)
    tiered, shown = read(llm, way, [look_up], user_msg=ASK)

    assert shown == shown_by_plain
    assert tiers_of(tiered[-1])["final"] == "small"
    calls = llm.get_tool_calls_from_response(tiered[-1])
    assert [call.tool_kwargs for call in calls] == [{"city": "Paris"}, {"city": "Ulm"}]


@pytest.mark.parametrize("way", WAYS)
def test_the_last_chunk_counts_the_tokens_of_all_calls(server, tiered, like, sent, way):
    server.scripts |= {"small": "Lyon it is", "medium": "Paris it is"}
    tiers = [like(name, **COUNTED) for name in ("small", "medium", "large")]
    llm = tiered(tiers=tiers, judge=lambda question, answer: "Lyon" not in answer)

    last = read(llm, way, arguments(way))[0][-1]

    assert last.additional_kwargs["tier"] == "medium"
    assert last.additional_kwargs["prompt_tokens"] == sent()
    assert last.additional_kwargs["completion_tokens"] == 6


@pytest.mark.parametrize("way", WAYS)
def test_who_asks_for_the_tokens_in_the_call_gets_their_chunk(server, llm, like, way):
    asked = {"stream_options": {"include_usage": True}}

    _, shown_by_plain = read(like("small"), way, arguments(way), **asked)

    assert read(llm, way, arguments(way), **asked)[1] == shown_by_plain


# A judged answer is shown when it stands.
@pytest.mark.parametrize("llm", ["live"], indirect=True)
@pytest.mark.parametrize("way", WAYS)
def test_no_word_waits_for_the_next_one(server, llm, way):
    server.scripts["small"] = hang = Hang("is", after="Paris it ")

    def each(chunk):
        # The rest comes only when the word before it has been read.
        if chunk.delta == "it ":
            hang.release()

    chunks, _ = read(llm, way, arguments(way), each)
    assert "".join(chunk.delta or "" for chunk in chunks) == "Paris it is"


class Typing(CustomLLM):
    """An LLM whose streams end with a word."""

    @property
    def metadata(self):
        return LLMMetadata(model_name="typing", is_chat_model=True)

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text="Paris it is")

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        text = ""
        for word in ("Paris ", "it ", "is"):
            text += word
            yield CompletionResponse(text=text, delta=word)

    @llm_chat_callback()
    def stream_chat(self, messages, **kwargs):
        for part in self.stream_complete(ASK):
            yield ChatResponse(message=ChatMessage(role="assistant", content=part.text), delta=part.delta)


@pytest.mark.parametrize("way", WAYS)
def test_where_a_stream_ends_with_a_word_the_trace_is_on_it_when_the_stream_has_ended(way):
    tiers = [Tier(Typing(), name=name, price=(1, 2)) for name in ("small", "large")]
    with TieredLLM(tiers, policy=Policy("route", FixedStarter("small"), Unjudged())) as llm:
        chunks, shown = read(llm, way, arguments(way))

        assert shown == read(Typing(), way, arguments(way))[1]
        assert tiers_of(chunks[-1])["final"] == "small"
        llm.feedback(tiers_of(chunks[-1])["trace_id"], correct=True)


@pytest.mark.parametrize("way", ["stream_structured_predict", "astream_structured_predict"])
def test_a_stream_of_objects_has_the_tier_s(server, llm, like, settings, city, prompt, way):
    server.scripts["small"] = Reply(calls=(ToolCall("City", {"name": "Ulm", "people": 3}),))

    _, shown_by_plain = read(like("small", **settings), way, city, prompt=prompt, country="Germany")
    tiered, shown = read(llm, way, city, prompt=prompt, country="Germany")

    assert shown == shown_by_plain
    assert tiers_of(tiered[-1])["final"] == "small"
    (attempt,) = tiers_of(tiered[-1])["attempts"]
    assert attempt["input_tokens"] > 0


@pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning", "ignore:is_running called from within a step"
)
@pytest.mark.parametrize("kind", [FunctionAgent, ReActAgent])
async def test_an_agent_shows_what_it_shows_with_the_tier_alone(server, llm, like, settings, look_up, kind):
    def says(request):
        last = request.messages[-1]
        if "## Output Format" not in request.text:
            call = Reply(calls=(ToolCall("look_up", {"city": "Paris"}),))
            return "Two million people." if last["role"] == "tool" else call
        if "Observation:" in last["content"]:
            return "Thought: So.\nAnswer: Two million people."
        return 'Thought: Hm.\nAction: look_up\nAction Input: {"city": "Paris"}'

    async def shown(llm):
        memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
        running = kind(tools=[look_up], llm=llm).run(user_msg="How many people?", memory=memory)
        events = [event async for event in running.stream_events() if isinstance(event, AgentStream)]
        return [(event.delta, event.response, event.tool_calls) for event in events], str(await running)

    server.scripts["small"] = says
    plain = await shown(like("small", **settings))
    assert plain[1] == "Two million people."
    assert await shown(llm) == plain


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
def test_so_has_a_structured_llm_s(server, llm, like, settings, city, way):
    server.scripts["small"] = Reply(calls=(ToolCall("City", {"name": "Ulm", "people": 3}),))

    plain, _ = read(like("small", **settings).as_structured_llm(city), way, arguments(way))
    tiered, _ = read(llm.as_structured_llm(city), way, arguments(way))

    assert [chunk.raw.model_dump() for chunk in tiered] == [chunk.raw.model_dump() for chunk in plain]
    assert tiers_of(tiered[-1])["final"] == "small"
