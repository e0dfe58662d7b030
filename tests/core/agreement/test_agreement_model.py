"""What answers foretell: chances that add up, what is learned of tiers that copy or dissent, and what is done next."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_tiers.agreement import Experience, ExperienceOf, Hardness, Outlook, Votes
from llm_tiers.agreement.answers import blocks_of
from llm_tiers.history import Record

USUAL = Hardness()
NAMES = ("a", "b", "c")
COSTS = (0.01, 0.1, 1.0)


def record(said, **facts):
    return Record("t", "", 0.0, {}, "a", "a", tuple(said), (), None, said=said, **facts)


def learned(*answers, size=3, known=USUAL):
    votes = Votes.assumed(size)
    for said in answers:
        for of in range(1, size):
            if said[of] is not None and any(answer is not None for answer in said[:of]):
                votes = votes.after(of, said[:of], said[of], known, silent=0.02)
    return votes


@given(
    answers=st.lists(st.sampled_from([None, -1, 0, 1, 2]), min_size=4, max_size=4),
    known=st.builds(Hardness, st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 3)),
)
def test_chances_are_chances_and_those_who_agree_are_equally_right(answers, known):
    outlook = Outlook(Votes.assumed(4), answers, known)
    right = [outlook.chance_right(position) for position in range(4)]

    assert all(-1e-9 <= chance <= 1 + 1e-9 for chance in (*right, *(outlook.chance_of_top(p) for p in range(4))))
    assert outlook.chance_of_top(3) == pytest.approx(1)
    for one in range(4):
        for other in range(one):
            if answers[one] == answers[other] not in (None, -1):
                assert right[one] == pytest.approx(right[other])


def test_agreement_speaks_for_an_answer_and_hardness_against_it():
    votes = Votes.assumed(3)

    def right(answers, known=USUAL):
        return Outlook(votes, answers, known).chance_right(0)

    assert right([0, 0, None]) > right([0, None, None]) > right([0, 1, None])
    assert right([0, 0, None]) > right([0, 0, None], Hardness(1.0, 1.0))


def test_a_tier_that_always_agrees_is_foreseen_and_one_that_never_does_too():
    copying = learned(*[[0, 0, None]] * 60)
    dissenting = learned(*[[0, 1, None]] * 120)

    assert copying.chances(1, [[0]], 0.0)[0] > 0.95
    assert dissenting.chances(1, [[0]], 0.0)[0] < 0.15


class TestCopies:
    def test_the_vote_of_a_copy_comes_to_foretell_nothing(self):
        """The middle tier copies the cheapest; the top sides with them every other time, however they agree."""
        votes = learned(*[[0, 0, number % 2] for number in range(200)])
        both, one = votes.chances(2, [[0, 1]], 0.0)[0], votes.chances(2, [[0]], 0.0)[0]

        assert both == pytest.approx(0.5, abs=0.12)
        assert both - one < 0.35

    @given(
        calls=st.lists(st.lists(st.sampled_from([None, -1, 0, 1, 2]), min_size=4, max_size=4), max_size=30),
        answers=st.lists(st.sampled_from([-1, 0, 1, 2]), min_size=3, max_size=3),
    )
    def test_chances_are_chances_whatever_was_learned(self, calls, answers):
        votes = learned(*calls, size=4)
        blocks = list(blocks_of(answers).values())
        chances = votes.chances(3, blocks, 0.5)

        assert all(0 <= own <= 1 for own in votes.copies.own)
        assert all(0 <= chance <= 1 + 1e-9 for chance in chances)
        assert sum(chances) == pytest.approx(1)
        assert 0 <= votes.copies.gives_none(3, [*answers, None], 0.3) <= 1

    @pytest.mark.parametrize("copied", [0, 1])
    def test_a_tier_that_sides_with_one_against_the_other_is_found_out(self, copied):
        said = [0, 1, copied, None]
        none = learned(size=4)
        found = learned(*[said] * 20, size=4)

        assert none.copies.own[2] > 0.95
        assert found.copies.own[2] < 0.1
        assert found.chances(2, [[0], [1]], 0.0)[copied] > 0.9

    def test_so_is_one_that_says_nothing_where_another_says_nothing(self):
        said = [[0, 0, 0, None], [0, -1, -1, None], [0, None, 0, None]]
        votes = learned(*said * 8, size=4)
        assert votes.copies.own[2] < 0.1
        assert votes.copies.gives_none(2, [0, -1, None, None], 0.02) > 0.9
        assert votes.copies.gives_none(2, [0, 0, None, None], 0.02) < 0.1
        assert votes.copies.gives_none(2, [0, None, None, None], 0.02) == pytest.approx(0.02, abs=0.01)

    def test_one_that_differs_after_all_is_heard_again(self):
        copying = [[0, 1, 1, None]] * 500
        assert learned(*copying, size=4).copies.own[2] < 0.01
        assert learned(*copying, *[[0, 1, 2, None]] * 5, size=4).copies.own[2] > 0.5

    def test_where_it_contradicts_the_other_its_voice_counts_in_full(self):
        found = learned(*[[0, 1, 1, None]] * 14, size=4)
        assert found.copies.own[2] < 0.5
        after = Outlook(found, [0, 1, 2, None], USUAL)
        assert after.chance_of_top(2) > max(after.chance_of_top(0), after.chance_of_top(1))

    def test_the_top_is_never_taken_for_one(self):
        assert learned(*[[0, 1, 1]] * 60).copies.own == (1, 1, 1)

    def test_one_that_agrees_ever_so_often_but_not_always_is_none(self):
        said = [[0, 0, 0, None]] * 8 + [[0, 1, 1, None]] + [[0, 1, 0, None]]
        assert learned(*said * 30, size=4).copies.own[2] > 0.99

    def test_a_copy_is_no_second_voice_and_sets_nobody_apart(self):
        found = learned(*[[0, 1, 1, None]] * 30, size=4)
        plain = learned(*[[0, 1, None, None]] * 30, size=4)

        assert found.chances(3, [[0], [1, 2]], 0.0) == pytest.approx(found.chances(3, [[0], [1]], 0.0), abs=0.02)
        assert found.votes[3][1] > plain.votes[3][1]
        assert Outlook(found, [0, 1, 1, None], USUAL).chance_right(1) == pytest.approx(
            Outlook(found, [0, 1, None, None], USUAL).chance_right(1), abs=0.02
        )

    def test_a_copy_is_not_asked_even_if_it_costs_next_to_nothing(self):
        found, none = learned(*[[0, 1, 1, None]] * 30, size=4), learned(size=4)
        costs = (0.01, 0.02, 0.021, 1.0)

        def next_tier(votes):
            return Outlook(votes, [0, 1, None, None], USUAL).best(costs, 0.3, (0, 1, 2, 3)).ask

        assert next_tier(none) == 2
        assert next_tier(found) != 2


class TestMoves:
    def test_what_costs_nothing_worth_the_name_is_asked_and_what_costs_too_much_is_not(self):
        outlook = Outlook(Votes.assumed(3), [0, 1, None], USUAL)

        assert outlook.best(COSTS, price=0.001, usable=(0, 1, 2)).ask == 2
        kept = outlook.best(COSTS, price=0.9, usable=(0, 1, 2))
        assert (kept.ask, kept.accept) == (None, 1)

    def test_the_top_has_the_last_word(self):
        move = Outlook(Votes.assumed(3), [0, 0, 1], USUAL).best(COSTS, 0.1, (0, 1, 2))
        assert (move.ask, move.accept) == (None, 2)

    def test_tiers_that_cannot_serve_are_not_asked(self):
        outlook = Outlook(Votes.assumed(3), [0, None, None], USUAL)
        assert outlook.best(COSTS, 0.001, usable=(0, 2)).ask == 2

    def test_a_missing_answer_is_not_accepted(self):
        move = Outlook(Votes.assumed(3), [0, -1, None], USUAL).best(COSTS, 0.9, (0, 1, 2))
        assert move.accept == 0

    def test_where_all_are_missing_somebody_is_asked(self):
        assert Outlook(Votes.assumed(3), [-1, -1, None], USUAL).best(COSTS, 0.9, (0, 1, 2)).ask == 2

    def test_a_tier_that_hardly_ever_answers_is_worth_less(self):
        def worth(missing):
            return Outlook(Votes.assumed(3), [0, None, None], USUAL, (0, 0, missing)).best(COSTS, 0.01, (0, 2)).worth

        assert worth(0.0) > worth(0.5) > worth(1.0)

    def test_a_missing_answer_foretells_that_others_differ_not_that_they_are_wrong(self):
        votes = Votes.assumed(4)
        plain, after_none = (Outlook(votes, [-1, 0, 0, None], Hardness(missing=none)) for none in (0, 1))

        assert after_none.chance_of_top(1) < plain.chance_of_top(1)
        assert Outlook(votes, [-1, 0, 0, 0], Hardness(missing=1)).chance_right(1) == pytest.approx(
            Outlook(votes, [-1, 0, 0, 0], USUAL).chance_right(1)
        )

    @given(
        answers=st.lists(st.sampled_from([None, 0, 1]), min_size=3, max_size=3),
        price=st.floats(0, 1),
    )
    def test_a_dearer_price_is_never_worth_more(self, answers, price):
        outlook = Outlook(Votes.assumed(3), answers, USUAL)
        cheap, dear = (outlook.best(COSTS, p, (0, 1, 2)).worth for p in (price, price + 0.1))
        assert dear <= cheap + 1e-9


class TestExperience:
    def test_it_is_the_same_made_at_once_or_one_by_one(self):
        study = ExperienceOf(NAMES)
        records = [record({"a": 0, "b": number % 2}, tokens={"a": 10 + number}, share=0.3) for number in range(12)]
        one = study.start()
        for made in records:
            one = study.learn(one, made)
        again = study.start()
        for made in records:
            again = study.learn(again, made)

        assert one.count == again.count == 12
        assert one.votes.mean == pytest.approx(again.votes.mean)
        assert hash(study) == hash(ExperienceOf(NAMES))
        assert study == ExperienceOf(NAMES)

    def test_long_answers_make_a_query_hard_once_the_usual_length_is_known(self):
        experience = Experience.none(NAMES)
        assert experience.hardness(0.25, {"a": 5_000}) == Hardness()

        for tokens in (40, 50, 60, 50, 45, 55):
            experience = experience.after(record({"a": 0}, tokens={"a": tokens}))
        assert experience.hardness(experience.usual, {"a": 5_000}).length == 2.5
        assert experience.hardness(experience.usual, {"a": 2}).length == -2.5

    def test_costs_are_in_answers_of_the_top_tier_listed_first_and_then_seen(self):
        experience = Experience.none(NAMES)
        listed = {"a": 1.0, "b": 10.0, "c": 100.0}
        assert experience.expected_costs(listed, USUAL) == pytest.approx((0.01, 0.1, 1))

        for _ in range(200):
            experience = experience.after(record({"a": 0, "b": 0, "c": 0}, costs={"a": 0.05, "b": 0.5, "c": 1.0}))
        assert experience.expected_costs(listed, USUAL) == pytest.approx((0.05, 0.5, 1), rel=0.1)

    def test_a_call_that_was_called_wrong_differs(self):
        experience = Experience.none(NAMES)
        wrong = Record("t", "", 0.0, {"a": False}, "a", "a", ("a",), ("a",), None, said={"a": 0, "b": 0})
        assert experience.after(wrong).usual > experience.after(record({"a": 0, "b": 0})).usual

    def test_how_often_a_tier_stands_and_is_silent_is_counted(self):
        experience = Experience.none(NAMES)
        for number in range(40):
            said = {"a": number, "b": -1, "c": number}
            made = Record("t", "", 0.0, {}, "a", "c", tuple(said), ("a", "c"), None, said=said)
            experience = experience.after(made)

        assert experience.share_returned("a") > 0.95
        assert experience.share_returned("b") < 0.05
        assert experience.missing(0)[1] > 0.9
        assert experience.missing(1)[2] < 0.1

    def test_an_answer_that_the_user_called_wrong_does_not_stand(self):
        wrong = Record("t", "", 0.0, {"a": False}, "a", "a", ("a",), ("a",), None, said={"a": 0})
        experience = Experience.none(NAMES)
        assert experience.after(wrong).share_returned("a") < experience.share_returned("a")

    @given(chance=st.floats(0, 1), past=st.lists(st.floats(0.01, 0.99), max_size=30))
    def test_a_stated_chance_lies_between_what_is_expected_now_and_what_was_usual(self, chance, past):
        experience = Experience.none(NAMES)
        for usual in past:
            experience = experience.after(record({"a": 0}, confidence=usual))

        usual = 1 / (1 + math.exp(-experience.confidence[0] / experience.confidence[1]))
        told = min(max(chance, 0.001), 0.999)
        assert min(told, usual) - 1e-9 <= experience.stated(chance) <= max(told, usual) + 1e-9

    def test_a_likelier_chance_is_stated_higher_and_so_is_one_where_chances_were_high(self):
        none = Experience.none(NAMES)
        sure = none
        for _ in range(20):
            sure = sure.after(record({"a": 0}, confidence=0.99))
        assert none.stated(0.6) < none.stated(0.7) < sure.stated(0.7)
        assert none.after(record({"a": 0})).stated(0.6) == none.stated(0.6)
