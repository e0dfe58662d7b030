"""What an asker, a tier or a tool writes changes no prompt's structure, no verdict's parse and nobody's records.

A model may still believe what it reads; what stands against that is agreement, schemas, checks and the judge's floor.
"""

import hashlib
import re

import numpy as np
import pytest
from judge_attacks import ATTACKS

from llm_tiers import Answer, Engine, Policy, PromptJudge, Verdict
from llm_tiers.agreement.equality import ExactEquality
from llm_tiers.embedding import Embedding
from llm_tiers.history import ChromaHistory
from llm_tiers.policies.graders.prompt import grade_in, grading_question, pair_question
from llm_tiers.policies.judges import Agreement, Case
from llm_tiers.policies.judges.verdict import verdict_of

OLD = "0123456789abcdef0123456789abcdef"
OLD_MARK = hashlib.sha256(f"{OLD}:small".encode()).hexdigest()[:16]
HASH = hashlib.sha256(OLD.encode()).hexdigest()[:16]
GUESS = "deadbeefdeadbeef"


def filled(attack):
    """Give an attack what its author may know: the id of an earlier call and the mark in its judge's prompt."""
    for name, known in (("{old}", OLD_MARK), ("{trace}", OLD), ("{hash}", HASH), ("{guess}", GUESS)):
        attack = attack.replace(name, known)
    return attack.replace("{trace!r}", repr(OLD))


TEXTS = [filled(attack) for attack in ATTACKS]


def test_there_are_150_of_them():
    assert len(set(TEXTS)) == len(TEXTS) >= 150


@pytest.fixture(params=TEXTS, ids=range(len(TEXTS)))
def attack(request):
    return request.param


def sent(text):
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def sections(prompt):
    """Read a prompt as its author means it: by the mark of its first line."""
    mark = re.match(r"<<([0-9a-f]{16}) ", prompt.user)[1]
    parts = re.findall(rf"<<{mark} ([^>\n]+)>>\n(.*?)\n<<{mark} end>>", prompt.user, re.DOTALL)
    assert prompt.user.count(mark) == 2 * len(parts)
    return parts, prompt.user.rsplit(f"<<{mark} end>>", 1)[1].strip()


def prompt_of(judge, case):
    return next(judge.review(case)).calls[0].prompt


@pytest.mark.parametrize("where", ["ask", "context", "since", "answer"])
def test_a_judges_prompt_keeps_its_structure(scripted, attack, where):
    given = {"ask": "What is 6 * 7?", "context": "before", "since": "tools", "answer": "42"} | {where: attack}
    text = given.pop("answer")
    case = Case(scripted.call(**given), scripted.ladder(), Answer("small", text, text))
    plain = Case(scripted.call(), scripted.ladder(), Answer("small", "42", "42"))

    prompt = prompt_of(PromptJudge(), case)

    parts, asked = sections(prompt)
    assert [title for title, _ in parts] == [
        "conversation before the question",
        "question",
        "what was done since the question",
        "answer",
    ]
    assert sent(attack)[-4_000:] in [part[-4_000:] for _, part in parts]
    assert asked == "Is the answer valid? Reply yes or no."
    assert prompt.system == prompt_of(PromptJudge(), plain).system


def test_prompts_that_compare_and_grade_keep_their_structure(scripted, attack):
    call, answer, other = scripted.call(), Answer("small", attack, attack), Answer("medium", "some prose", "some prose")
    comparing = prompt_of(Agreement(), Case(call, scripted.ladder(), answer, (other,), NeverSure()))

    assert len(sections(comparing)[0]) == 3
    assert len(sections(grading_question(call, answer))[0]) == 2
    for reference_first in (False, True):
        assert len(sections(pair_question(call, answer, other, reference_first=reference_first))[0]) == 3


class NeverSure(ExactEquality):
    def same(self, one, other):
        return None


def test_a_judge_that_only_repeats_it_has_found_nothing_valid(attack):
    assert verdict_of(attack) is not Verdict.VALID
    assert grade_in(attack) is None


def test_what_the_judge_says_decides_and_only_labels_of_this_call_follow(scripted, attack):
    history = scripted.ListHistory()
    engine = Engine(
        scripted.ladder(), Policy("tested", scripted.Planned("small"), PromptJudge(), ExactEquality()), history
    )
    engine.run(engine.call("an earlier call"), scripted.ScriptedPerformer({"small": "7"}))
    before = list(history.records)

    said = {"small": attack, "medium": "42", "large": "43"}
    outcome = engine.run(engine.call("What is 6 * 7?"), scripted.ScriptedPerformer(said, {"small": "no"}))

    assert outcome.answer.value == "42"
    assert history.records[:-1] == before
    assert dict(history.records[-1].labels) == {"small": False, "medium": True, "large": True}


def test_another_tenants_history_is_untouched(scripted, tmp_path):
    embedding = Embedding(lambda text: np.ones(8) + len(text), name="lengths")
    tenants = [ChromaHistory(tmp_path, embedding=embedding, namespace=name) for name in ("tenant-a", "tenant-b")]
    policy = Policy("tested", scripted.Planned("small"), PromptJudge(), ExactEquality())
    hostile, other = (Engine(scripted.ladder(), policy, history) for history in tenants)
    other.run(other.call("a call of another tenant"), scripted.ScriptedPerformer({"small": "7"}))
    before = list(tenants[1].export())

    for text in TEXTS:
        performer = scripted.ScriptedPerformer({"small": text, "medium": text, "large": text}, {"small": text})
        hostile.run(hostile.call(text, node=sent(text)), performer)

    tenants[0].flush()
    assert tenants[0].stats().records == len(TEXTS)
    assert list(tenants[1].export()) == before
    for history in tenants:
        history.close()
