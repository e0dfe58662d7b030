"""What one provider's class made in a tool history is read by every other one's; servers check the formats."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock, ToolCallBlock
from llama_index.llms.openai import OpenAI, OpenAIResponses

from llamaindex_tiers import tiers_of
from llamaindex_tiers.tool_history import is_mixed, portable
from llm_tiers import FixedStarter, Ladder, Policy, Tier, Unjudged

ASK = "How many people live in Paris?"
ARGUMENTS = {"city": "Paris"}
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 12,
}


def require(holds, what):
    if not holds:
        raise ValueError(what)


class Chat:
    """OpenAI's Chat Completions."""

    def check(self, asked):
        made = [call for message in asked["messages"] for call in message.get("tool_calls") or ()]
        for call in made:
            require(isinstance(call["id"], str) and len(call["id"]) <= 40, "id")
            require(json.loads(call["function"]["arguments"]) == ARGUMENTS, "arguments")
            require(isinstance(call["function"]["arguments"], str), "arguments")
        answers = [message for message in asked["messages"] if message["role"] == "tool"]
        require([call["id"] for call in made] == [message["tool_call_id"] for message in answers], "tool_call_id")
        return len(answers)

    def reply(self, asked, answers):
        function = {"name": "look_up", "arguments": json.dumps(ARGUMENTS)}
        call = {"id": f"call_{answers}", "type": "function", "function": function, "index": 0}
        message = (
            {"role": "assistant", "content": "Two million."} if answers else {"role": "assistant", "tool_calls": [call]}
        )
        base = {"id": "c", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"content": None, **message}, "finish_reason": "stop"}
            return [{**base, "object": "chat.completion", "choices": [choice]}]
        choice = {"index": 0, "delta": message, "finish_reason": None}
        return [
            {**base, "object": "chat.completion.chunk", "choices": [one]}
            for one in (choice, {"index": 0, "delta": {}, "finish_reason": "stop"})
        ]


class Responses:
    """OpenAI's Responses."""

    def check(self, asked):
        given = asked["input"] if isinstance(asked["input"], list) else []
        made = [item for item in given if item.get("type") == "function_call"]
        answers = [item for item in given if item.get("type") == "function_call_output"]
        for call in made:
            require(isinstance(call["arguments"], str) and json.loads(call["arguments"]) == ARGUMENTS, "arguments")
            require(call["name"] == "look_up" and isinstance(call["call_id"], str), "call")
        require([call["call_id"] for call in made] == [answer["call_id"] for answer in answers], "call_id")
        return len(answers)

    def reply(self, asked, answers):
        text = {"type": "output_text", "text": "Two million.", "annotations": []}
        said = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}
        call = {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_r",
            "name": "look_up",
            "arguments": json.dumps(ARGUMENTS),
            "status": "completed",
        }
        item = said if answers else call
        rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed", "usage": USAGE}
        whole = {"id": "r", "object": "response", "created_at": 1, "model": asked["model"], "output": [item], **rest}
        if not asked.get("stream"):
            return [whole]
        if answers:
            place = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": [], "sequence_number": 0}
            pieces = [{"type": "response.output_text.delta", "delta": "Two million.", **place}]
        else:
            begun = {**call, "arguments": "", "status": "in_progress"}
            place = {"item_id": "fc_1", "output_index": 0, "sequence_number": 0}
            pieces = [
                {"type": "response.output_item.added", "output_index": 0, "sequence_number": 0, "item": begun},
                {"type": "response.function_call_arguments.delta", "delta": call["arguments"], **place},
                {
                    "type": "response.function_call_arguments.done",
                    "arguments": call["arguments"],
                    "name": "look_up",
                    **place,
                },
                {"type": "response.output_item.done", "output_index": 0, "sequence_number": 0, "item": call},
            ]
        return [*pieces, {"type": "response.completed", "sequence_number": 9, "response": whole}]


class OllamaChat:
    """Ollama's chat."""

    def check(self, asked):
        made = [call for message in asked["messages"] for call in message.get("tool_calls") or ()]
        for call in made:
            require(call["function"] == {"name": "look_up", "arguments": ARGUMENTS}, "function")
        answers = [message for message in asked["messages"] if message["role"] == "tool"]
        require(len(made) == len(answers), "answers")
        return len(answers)

    def reply(self, asked, answers):
        call = {"function": {"name": "look_up", "arguments": ARGUMENTS}}
        message = {"content": "Two million."} if answers else {"content": "", "tool_calls": [call]}
        end = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 3}
        base = {"model": asked["model"], "created_at": "2026-11-01T00:00:00Z"}
        return [{**base, "message": {"role": "assistant", **message}, **end}]


class Messages:
    """Anthropic's messages."""

    def check(self, asked):
        blocks = [
            b for message in asked["messages"] if isinstance(message["content"], list) for b in message["content"]
        ]
        made = [block for block in blocks if block["type"] == "tool_use"]
        answers = [block for block in blocks if block["type"] == "tool_result"]
        for block in made:
            require(block["input"] == ARGUMENTS and block["name"] == "look_up", "input")
        ids = [block["id"] for block in made]
        require(all(ids) and len(set(ids)) == len(ids), "ids must be unique")
        require(ids == [block["tool_use_id"] for block in answers], "tool_use_id")
        require(all(block.get("signature") for block in blocks if block["type"] == "thinking"), "signature")
        return len(answers)

    def reply(self, asked, answers):
        use = {"type": "tool_use", "id": f"toolu_{answers}", "name": "look_up", "input": ARGUMENTS}
        block = {"type": "text", "text": "Two million."} if answers else use
        usage = {"input_tokens": 9, "output_tokens": 3}
        whole = {"id": "a", "type": "message", "role": "assistant", "model": asked["model"], "usage": usage}
        ending = {"stop_reason": "end_turn" if answers else "tool_use", "stop_sequence": None}
        if not asked.get("stream"):
            return [{**whole, "content": [block], **ending}]
        begun = {"type": "text", "text": ""} if answers else {**use, "input": {}}
        delta = (
            {"type": "text_delta", "text": "Two million."}
            if answers
            else {"type": "input_json_delta", "partial_json": json.dumps(ARGUMENTS)}
        )
        return [
            {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "stop_sequence": None}},
            {"type": "content_block_start", "index": 0, "content_block": begun},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ending, "usage": usage},
            {"type": "message_stop"},
        ]


FORMATS = {"completions": Chat(), "responses": Responses(), "chat": OllamaChat(), "messages": Messages()}


class Served(BaseHTTPRequestHandler):
    """The four formats, known by the end of the path; what does not keep to one is refused."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = FORMATS[self.path.partition("?")[0].rpartition("/")[2]]
        self.server.asked.append(kind)
        try:
            replies = kind.reply(asked, kind.check(asked))
        except (ValueError, KeyError, TypeError) as error:
            self.send(400, "application/json", json.dumps({"error": {"message": f"malformed: {error!r}"}}))
            return
        if kind is FORMATS["chat"] or not asked.get("stream"):
            self.send(200, "application/json", "".join(json.dumps(reply) + "\n" for reply in replies))
        else:
            lines = (f"event: {one.get('type', 'data')}\ndata: {json.dumps(one)}\n\n" for one in replies)
            self.send(200, "text/event-stream", "".join(lines))

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served():
    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def make(served, key):
    """Make an LLM of a provider's class."""
    address = f"http://127.0.0.1:{served.server_port}"
    served.asked.clear()

    def make(kind):
        if kind == "openai":
            return OpenAI("gpt-4.1-nano", api_base=f"{address}/v1", api_key=key, max_retries=0)
        if kind == "responses":
            return OpenAIResponses("gpt-4.1-mini", api_base=f"{address}/v1", api_key=key, max_retries=0)
        if kind == "ollama":
            ollama = pytest.importorskip("llama_index.llms.ollama")
            return ollama.Ollama("llama3.2", base_url=address, context_window=8_000, is_function_calling_model=True)
        anthropic = pytest.importorskip("llama_index.llms.anthropic")
        return anthropic.Anthropic("claude-sonnet-4-5", base_url=address, api_key=key, max_retries=0)

    return make


KINDS = ("openai", "responses", "ollama", "anthropic")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("reader", KINDS)
@pytest.mark.parametrize("maker", KINDS)
def test_it_is_read(served, make, tiered, take, look_up, maker, reader):
    """Two rounds of tool calls by one tier, of which the other one makes the answer."""
    models = [Tier(make(maker), name="maker"), Tier(make(reader), name="reader")]
    llm = tiered(tiers=models, judge=lambda question, answer: True, prices={"maker": (1, 1), "reader": (1, 1)})
    history = [ChatMessage(role="user", content=ASK)]
    for _ in range(2):
        # As an agent does; the second round starts from the first message, so that its calls have the same names.
        called = take(llm, "chat_with_tools", [look_up], chat_history=history[:1], model="maker")[-1]
        (selection,) = llm.get_tool_calls_from_response(called)
        assert selection.tool_kwargs == ARGUMENTS
        answer = ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": selection.tool_id})
        if len(history) == 1 or maker == "ollama":
            history += [called.message, answer]
    before = repr(history)

    last = take(llm, "chat_with_tools", [look_up], chat_history=history, model="reader")[-1]

    assert last.message.content == "Two million."
    assert repr(history) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("answers", [False, True], ids=["a call", "a text"])
@pytest.mark.parametrize("policy", ["live", "judged"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_has_the_chunks_of_the_class(make, tiered, stream, look_up, kind, policy, answers):
    """None is added to carry the trace, whatever a class's streams end with."""
    history = [ChatMessage(role="user", content=ASK)]
    if answers:
        block = ToolCallBlock(tool_name="look_up", tool_kwargs=ARGUMENTS, tool_call_id="call_1")
        answer = ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "call_1"})
        history += [ChatMessage(role="assistant", blocks=[block]), answer]
    tiers = [Tier(make(kind), name=name) for name in ("small", "large")]
    judged = {"starter": FixedStarter("small"), "judge": lambda question, answer: True}
    how = {"policy": Policy("route", FixedStarter("small"), Unjudged())} if policy == "live" else judged
    llm = tiered(tiers=tiers, prices={"small": (1, 1), "large": (1, 1)}, **how)

    plain = stream(make(kind), "chat_with_tools", [look_up], chat_history=history)
    chunks = stream(llm, "chat_with_tools", [look_up], chat_history=history)

    assert [chunk.delta for chunk in chunks] == [chunk.delta for chunk in plain]
    assert [chunk.message.content for chunk in chunks] == [chunk.message.content for chunk in plain]
    assert tiers_of(chunks[-1])["final"] == "small"
    assert bool(llm.get_tool_calls_from_response(chunks[-1], error_on_no_tool_call=False)) != answers


def test_tiers_of_one_class_are_not_mixed(make):
    openai, responses = make("openai"), make("responses")
    assert not is_mixed(Ladder([Tier(openai, name="a"), Tier(openai, name="b")]))
    assert is_mixed(Ladder([Tier(openai, name="a"), Tier(responses, name="b")]))


class TestPortable:
    def message(self, arguments, own=None, **kwargs):
        block = ToolCallBlock(tool_name="look_up", tool_kwargs=arguments, tool_call_id=own)
        return ChatMessage(role="assistant", blocks=[block], additional_kwargs=kwargs)

    def test_arguments_as_a_text_become_an_object(self):
        (told,) = portable([self.message('{"city": "Paris"}', "call_1", tool_calls=[object()])], None)
        assert told.blocks[0].tool_kwargs == ARGUMENTS
        assert told.blocks[0].tool_call_id == "call_1"
        assert told.additional_kwargs == {}

    def test_calls_of_a_name_get_ids_of_their_own(self):
        answer = ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "look_up"})
        one, first, two, second = portable([self.message({}), answer, self.message({}), answer], None)
        ids = [one.blocks[0].tool_call_id, two.blocks[0].tool_call_id]
        assert len(set(ids)) == 2
        assert [m.additional_kwargs["tool_call_id"] for m in (first, second)] == ids

    def test_older_keywords_become_blocks(self):
        call = {"id": "c", "function": {"name": "look_up", "arguments": '{"city": "Paris"}'}}
        (told,) = portable([ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [call]})], None)
        assert [(b.tool_call_id, b.tool_kwargs) for b in told.blocks if isinstance(b, ToolCallBlock)] == [
            ("c", ARGUMENTS)
        ]

    def test_what_cannot_be_read_stays(self):
        message = self.message("{oh", "call_1")
        assert portable([message], None) == [message]

    def test_only_anthropic_is_spared_the_thoughts_of_others(self, make):
        own = ThinkingBlock(content="Mine.", additional_information={"signature": "s"})
        message = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="Theirs."), own])
        assert portable([message], make("anthropic"))[0].blocks == [own]
        assert portable([message], make("openai"))[0].blocks == message.blocks
