"""The form of an answer: what fits, what does not, and what the cascade makes of it."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers import AllTiersFailed, Answer, ConfigError, PromptJudge, Verdict
from llm_tiers.call.answer import ToolCall
from llm_tiers.call.form import ANY_TOOL, Form, check_schema, schema_flaw, schema_in
from llm_tiers.policies.judges import Case, Schema

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"weather": CITY, "clock": {}}


def calling(*calls, tier="small", text=""):
    return Answer(tier, text, text or "called", tool_calls=tuple(ToolCall(*call) for call in calls))


def object_of(answer):
    return None if answer.text.startswith("{") else "no object"


@pytest.mark.parametrize(
    ("form", "answer", "flaw"),
    [
        (Form(TOOLS), calling(("weather", {"city": "Paris"})), None),
        (Form(TOOLS), calling(("clock", {})), None),
        (Form(TOOLS), calling(("weather", {"city": 3})), "weather: $.city fails 'type'"),
        (Form(TOOLS), calling(("weather", {})), "weather: $ fails 'required'"),
        (Form(TOOLS), calling(("weather", None)), "weather: malformed arguments"),
        (Form(TOOLS), calling(("stocks", {})), "unknown tool"),
        (Form(TOOLS), calling(("clock", {}), ("stocks", {})), "unknown tool"),
        (Form(TOOLS, ANY_TOOL), calling(("clock", {})), None),
        (Form(TOOLS, ANY_TOOL), calling(text="noon"), "no tool called"),
        (Form(TOOLS, "weather"), calling(("clock", {})), "weather not called"),
        (Form(TOOLS, object_flaw=object_of), calling(("clock", {})), None),
        (Form(TOOLS, object_flaw=object_of), calling(text="{}"), None),
        (Form(object_flaw=object_of), calling(text="noon"), "no object"),
        (Form(), calling(("clock", {})), "unknown tool"),
    ],
)
def test_what_fits_and_what_does_not(form, answer, flaw):
    assert form.covers(answer)
    assert form.flaw(answer) == flaw


def test_plain_text_is_none_of_its_business_where_text_will_do():
    assert not Form(TOOLS).covers(calling(text="noon"))


def test_a_flaw_does_not_show_the_contents():
    assert schema_flaw({"city": ["my mother's maiden name"]}, CITY) == "$.city fails 'type'"


def test_what_a_schema_refers_to_elsewhere_is_not_fetched():
    assert schema_flaw({"city": 3}, {"$ref": "http://127.0.0.1:9/city.json"}) is None
    assert schema_flaw(3, {"$ref": "#/$defs/city", "$defs": {"city": {"type": "string"}}}) == "$ fails 'type'"


def test_a_schema_that_is_none_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"tools: 'add' has no valid JSON schema: \$\.type"):
        check_schema({"type": "thing"}, "tools: 'add'")
    check_schema(CITY, "tools: 'add'")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(value=JSON)
def test_a_value_fits_the_schema_of_its_own_type_and_no_schema_of_another(value):
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", type(None): "null"}
    assert schema_flaw(value, {"type": kinds[type(value)]}) is None
    others = set(kinds.values()) - {kinds[type(value)]}
    assert all(schema_flaw(value, {"type": other}) for other in others)


class TestJudges:
    def case(self, scripted, form, answer):
        return Case(scripted.call(form=form), scripted.ladder(), answer)

    def judged(self, judge, case):
        review = judge.review(case)
        with pytest.raises(StopIteration) as stop:
            next(review)
        return stop.value.value

    @pytest.mark.parametrize(
        ("form", "answer", "verdict"),
        [
            (Form(TOOLS), calling(("clock", {})), Verdict.VALID),
            (Form(TOOLS), calling(("stocks", {})), Verdict.INVALID),
            (Form(TOOLS), calling(text="noon"), Verdict.UNCERTAIN),
            (None, calling(text="noon"), Verdict.UNCERTAIN),
        ],
    )
    def test_the_schema_judge(self, scripted, form, answer, verdict):
        judgement = self.judged(Schema(), self.case(scripted, form, answer))
        assert (judgement.verdict, judgement.by) == (verdict, "schema")

    def test_it_composes(self, scripted):
        judge = Schema() | (lambda question, answer: answer == "noon")
        for text, verdict in (("noon", Verdict.VALID), ("night", Verdict.UNCERTAIN)):
            assert self.judged(judge, self.case(scripted, Form(TOOLS), calling(text=text))).verdict is verdict

    def test_a_prompt_judge_accepts_what_fits_unless_it_is_to_be_asked(self, scripted):
        case = self.case(scripted, Form(TOOLS), calling(("clock", {})))
        assert self.judged(PromptJudge(), case).verdict is Verdict.VALID
        assert next(PromptJudge(judge_formed=True).review(case)).calls[0].role == "judge"

    def test_a_judge_reads_what_was_done_since_the_question(self, scripted):
        case = Case(scripted.call(since="tool: sunny"), scripted.ladder(), calling(text="It is sunny."))
        prompt = next(PromptJudge().review(case)).calls[0].prompt.user
        assert prompt.index("what was done since") < prompt.index("tool: sunny") < prompt.index("It is sunny.")


class TestCascade:
    """Real engine, every way to run a call; a tier's script says which tools it calls."""

    @pytest.fixture
    def run(self, scripted, way):
        def run(answers, form, judge=lambda question, answer: True):
            class Calling(scripted.ScriptedPerformer):
                def _reply(self, call):
                    reply = super()._reply(call)
                    said = self.answers[call.tier.name]
                    calls = (ToolCall(said[1:], {"city": "Paris"}),) if said and said.startswith("!") else ()
                    return dataclasses.replace(reply, tool_calls=calls)

            self.history = scripted.ListHistory()
            bench = scripted.Bench(scripted.Planned("small"), _judge(judge), history=self.history)
            self.performer = Calling(answers)
            return bench.ask_live(self.performer, way=way, form=form)

        return run

    def test_what_does_not_fit_goes_up_whatever_the_judge_would_say(self, run):
        _, outcome = run({"small": "!stocks", "medium": "!weather", "large": "x"}, Form(TOOLS))

        assert outcome.answer.tier == "medium"
        first = outcome.trace.attempts[0]
        assert (first.verdict, first.by, first.why) == ("invalid", "schema", "unknown tool")
        assert self.history.given[0].labels == {"small": False, "medium": True, "large": True}

    def test_a_top_that_does_not_fit_gives_way_to_what_nobody_rejected_unless_it_was_shown(self, run, way):
        answers = {"small": "Perhaps noon.", "medium": "!stocks", "large": "!stocks"}
        chunks, outcome = run(answers, Form(TOOLS), judge=lambda question, answer: None)

        live = way in ("stream", "astream")
        assert outcome.answer.tier == ("large" if live else "small")
        assert chunks == (["!stocks"] if live else [])
        assert self.history.given == []

    def test_a_top_that_does_not_fit_is_returned_where_there_is_nothing_else(self, run):
        _, outcome = run({"small": "!stocks", "medium": "!stocks", "large": "!stocks"}, Form(TOOLS))

        assert outcome.answer.tier == "large"
        assert "does not have the form asked for: unknown tool" in outcome.trace.warnings[0]
        assert self.history.given == []

    def test_a_malformed_answer_does_not_stand_in_for_a_top_that_fails(self, run, scripted):
        with pytest.raises(AllTiersFailed):
            run({"small": "!stocks", "medium": "!stocks", "large": scripted.Down()}, Form(TOOLS))


def _judge(function):
    from llm_tiers import FunctionJudge

    return FunctionJudge(function)


@pytest.mark.parametrize("given", [None, 3, {"schema": None}, {"schema": "x"}])
def test_a_response_format_whose_schema_is_no_object_is_named(given):
    with pytest.raises(ConfigError, match="response_format: the schema of a 'json_schema' must be an object, not a"):
        schema_in({"type": "json_schema", "json_schema": given})
