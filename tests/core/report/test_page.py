"""The page as text: what it says, and that a stranger's text in it is only text."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console
from seen_calls import call, checked, profiled, traffic

from llm_tiers.report import Promised, page_of, report_of
from llm_tiers.report.tables import csv_of, json_of
from llm_tiers.report.terminal import summary_of

NASTY = "<script>alert(1)</script>\"'&\N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m[bold]"


class Elements(HTMLParser):
    """Collects tags with their attributes, and checks that they nest."""

    VOID = frozenset({"meta", "br", "hr", "polyline"})

    def __init__(self, page):
        super().__init__()
        self.found, self.open, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def tags(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


def page(records, **other):
    return page_of(report_of(records, **other))


def said(records, **other):
    text = " ".join(Elements(page(records, **other)).text)
    return re.sub(r"\s+", " ", text)


def printed(report):
    console = Console(width=200, record=True, file=io.StringIO())
    for part in summary_of(report):
        console.print(part)
    return console.export_text()


def test_the_headline_says_what_was_saved_and_that_it_is_an_estimate():
    text = said(traffic())
    assert re.search(r"Saved \d\d%", text)
    assert "alone would have cost" in text
    assert "an estimate: on 80% of the calls it was not asked" in text


def test_calls_of_one_day_are_dated_once():
    report = report_of([profiled(0)])
    assert re.search(r"\b1 call, \d\d \w+ \d{4}\.", printed(report))
    assert re.search(r"· \d\d \w+ \d{4} · 1 call(?!s)", said([profiled(0)]))


def test_one_observed_call_shows_no_endless_interval():
    report = report_of([replace(profiled(0), planned="small", tiered="small", tiered_usd=0.1)])
    text = re.sub(r"\s+", " ", " ".join(Elements(page_of(report)).text))
    assert "What tiering would have done" in text
    assert "too few calls" in text
    assert "inf" not in re.findall(r"\w+", text + printed(report))


def test_tiering_that_cost_more_is_said_as_plainly():
    text = said([profiled(n) for n in range(20)])
    assert "Cost 11% more than the top tier alone" in text
    assert "Saved 11%" not in text


def test_calls_without_prices_have_no_saving():
    text = said([call(n, "small", costs={}, cost_usd=None) for n in range(3)])
    assert "What was saved is not known" in text


@pytest.mark.parametrize("records", [[call(1, "small")], [profiled(1)], [call(1, "small", costs={}, cost_usd=None)]])
def test_one_call_makes_a_page(records):
    assert page(records, promised=Promised(0.1)).endswith("</html>\n")
    assert printed(report_of(records))


def test_every_chart_has_a_table_and_a_title_and_is_hidden_from_screen_readers():
    shown = Elements(page(traffic()))
    figures, tables = shown.tags("figure"), shown.tags("table")
    assert len(figures) >= 4
    assert len(shown.tags("figcaption")) == len(figures) == len(shown.tags("details"))
    assert len(shown.tags("caption")) == len(tables)
    assert all(one.get("aria-hidden") == "true" for one in shown.tags("div") if one.get("class") == "plot-frame")
    assert all(one["scope"] in ("col", "row") for one in shown.tags("th"))
    assert len(shown.tags("h1")) == 1
    sections = {one["id"] for one in shown.tags("section")}
    assert {one["href"] for one in shown.tags("a")} == {f"#{key}" for key in (*sections, "main")}
    identifiers = [attributes["id"] for _, attributes in shown.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_the_page_loads_and_runs_nothing():
    text = page(traffic())
    shown = Elements(text)
    assert not shown.tags("script")
    assert not shown.tags("link")
    assert not shown.tags("img")
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "url(" not in text
    (policy,) = [one["content"] for one in shown.tags("meta") if "http-equiv" in one]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def nasty_records():
    names = [f"{NASTY}{tier}" for tier in ("a", "b", "c")]
    costs = dict.fromkeys(names, 1.0)
    drawn = [
        call(n, *names, node=NASTY, audited=True, rule=NASTY, costs=costs, confidence=0.5, grades={"check": costs})
        for n in range(30)
    ]
    return [*drawn, call(99, names[0], node="=cmd()", costs={names[0]: 1.0})]


def test_names_from_a_history_are_text_and_nothing_else():
    report = report_of(nasty_records(), where=NASTY, promised=Promised(0.3))
    text = page_of(report)
    shown = Elements(text)
    assert not shown.tags("script")
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text
    # No attribute was broken out of: every one is one that the page uses.
    known = {"aria-hidden", "aria-label", "aria-labelledby", "charset", "class", "content", "data-head", "focusable"}
    known |= {"href", "http-equiv", "id", "lang", "name", "points", "preserveaspectratio", "role", "scope", "style"}
    known |= {"tabindex", "title", "viewbox"}
    assert {key for _, attributes in shown.found for key in attributes} <= known


def test_names_from_a_history_do_not_steer_the_terminal():
    text = printed(report_of(nasty_records(), where=NASTY))
    assert "\x1b" not in text
    assert "[bold]" in text


def test_a_very_long_name_is_cut():
    assert "x" * 200 not in page([call(n, "small", node="x" * 5_000) for n in range(3)])


def test_a_spreadsheet_takes_no_name_for_a_formula():
    rows = list(csv.DictReader(io.StringIO(csv_of(report_of(nasty_records())))))
    assert "'=cmd()" in {row["name"] for row in rows}


def test_the_csv_has_all_calls_then_periods_then_nodes():
    report = report_of(traffic(100))
    rows = list(csv.DictReader(io.StringIO(csv_of(report))))
    kinds = [row["kind"] for row in rows]
    assert kinds == ["all", *["period"] * len(report.periods), *["node"] * len(report.nodes)]
    assert float(rows[0]["spent_usd"]) == pytest.approx(report.money.spent)
    assert sum(int(row["answered_by_medium"]) for row in rows if row["kind"] == "node") == 80


def test_the_json_has_every_figure():
    report = report_of(traffic(), promised=Promised(0.2))
    data = json.loads(json.dumps(json_of(report), allow_nan=False))
    assert data["spent_usd"] == pytest.approx(report.money.spent)
    assert data["alone"]["large"]["estimated_calls"] == 160
    assert data["frontier"]["graded_by"] == "check"
    assert {node["node"] for node in data["nodes"]} == {"chat", "research/plan"}
    assert data["nodes"][0]["certificate"]["delta"] == 0.2


def test_what_a_history_does_not_hold_is_said():
    text = said(traffic(graded=False))
    assert "Breakers are the state of a running process and are not recorded" in text
    assert "Nobody has graded answers" in text
    assert "No answer has been graded" in text
    assert "Right answers, estimated" in text


def test_graded_and_estimated_figures_are_told_apart():
    text = said(
        [*(checked(n, (1, 1, 1), node="a") for n in range(30)), *(profiled(90 + n, node="b") for n in range(30))]
    )
    assert "At nodes with 50% of these calls, right is what a check of yours says" in text
    assert "elsewhere it is an estimate" in text


def served(number, said, **facts):
    observed = {"planned": "small", "tiered": "small", "tiered_usd": 0.001, "complete_chance": 0.5, "audited": True}
    costs = {"small": 0.001, "large": 0.01}
    return call(number, "small", "large", said=said, costs=costs, cost_usd=0.011, **observed, **facts)


def test_what_was_only_observed_is_told_with_what_tiering_would_have_cost():
    report = report_of([served(number, (0, int(number % 10 == 0))) for number in range(60)])
    text = re.sub(r"\s+", " ", " ".join(Elements(page_of(report)).text))
    assert "One tier served 60 calls as before" in text
    assert "90% 82% to 95%" in text
    assert "grade= or feedback would tell" in text
    assert "60 calls observed" in printed(report)
    assert json_of(report)["observed"]["saved"]["mean"] == pytest.approx(0.9)


def test_grades_say_how_often_tiering_would_have_been_as_good():
    graded = {"grades": {"grader": {"small": 1.0, "large": 1.0}}}
    report = report_of([served(number, (0, 1), **graded) for number in range(60)])
    text = " ".join(Elements(page_of(report)).text)
    assert "As good, says your grader" in text
    assert report.observed.as_good.low > 0.9


def test_the_csv_has_what_was_observed_of_all_calls_and_of_each_node():
    records = [*(served(number, (0, int(number % 10 == 0)), node="pilot") for number in range(60)), *traffic(40)]
    report = report_of(sorted(records, key=lambda record: record.created))
    rows = list(csv.DictReader(io.StringIO(csv_of(report))))
    for row in (rows[0], next(row for row in rows if row["name"] == "pilot")):
        assert int(row["observed_calls"]) == 60
        assert int(row["observed_asked"]) == 60
        assert float(row["observed_saved"]) == pytest.approx(0.9)
        assert float(row["observed_saved_low"]) <= 0.9 <= float(row["observed_saved_high"]) + 1e-9
        assert float(row["observed_tiered_usd"]) == pytest.approx(0.001)
        assert (
            0 < float(row["observed_same_low"]) <= float(row["observed_same"]) <= float(row["observed_same_high"]) <= 1
        )
    others = [row for row in rows if row["kind"] == "node" and row["name"] != "pilot"]
    assert {(row["observed_calls"], row["observed_saved"]) for row in others} == {("0", "")}


def test_where_calls_were_only_observed_you_are_where_the_tier_is_that_served():
    graded = {"grades": {"grader": {"small": 0.0, "large": 1.0}}, "rule": "small"}
    found = report_of([served(number, (0, 1), **graded) for number in range(60)]).frontier
    assert found.here.right.value == found.alone("large").right.value


def test_without_observed_calls_nothing_is_said_of_them():
    assert "What tiering would have done" not in said(traffic())
    assert json_of(report_of(traffic()))["observed"] is None
