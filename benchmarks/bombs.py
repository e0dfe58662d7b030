"""Print the CPU milliseconds that each expression and parser takes for the worst a model may write: 1 MB of it.

    python benchmarks/bombs.py [--over MILLISECONDS]

An expression that sees only a bounded part of an answer is given a text of that length; whatever reads whole answers is
given the megabyte. The aim is 50 ms each.
"""

from __future__ import annotations

import argparse
import ast
import gc
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llm_tiers import Answer, FinalAnswers
from llm_tiers.agreement import dates, fields, final_answer, objects, quantities, refusals, texts
from llm_tiers.call import form, growing_json, json_text, patterns
from llm_tiers.call.answer import ToolCall
from llm_tiers.integration.finish import finish_in
from llm_tiers.policies.graders import prompt as grading
from llm_tiers.policies.judges import markers, prompt, verdict
from llm_tiers.profile import checks

ROOT = Path(__file__).parents[1]
CORE = ROOT / "shared" / "llm_tiers"
MEGABYTE = 1_000_000
AIM = 50
"""CPU milliseconds."""

PIECES = (
    *("a ", "**a ", "**a", "__", "* ", "- ", "a - ", "a*", "```\n", "`", "x = 1\n", "\t", "{ ", "# ", "'", '"', "'a "),
    *("select '", 'a."', '."', "9", "1,", "1.", "1/", " 1", "1 000", "1_", "1'", "1e", "1 ", "\u0663", "\u00bd"),
    *("seven ", "hundred ", "1:", "1-", "may ", "12.12.", "1/1/", r"\boxed{", r"\text{", r"\frac{", "^{", "{", "}"),
    *(r"\boxed{1}", "the answer is ", "answer: ", "the ", "the answer is a. ", "final ", "because ", "i ", "i will "),
    *("i'm sorry ", "as an ai ", "no information ", "the context ", "abstain ", "but is ", "[", '{"a":', "[]", "[1,"),
    *('"\\"', "[[],", "A", "(A) ", "A. ", "A) ", "\ud800", "\x00", "\u200b", "\ufb01", "\u1112\u1161\u11ab", "e\u0301"),
    *(
        "\u0301",
        "\r",
        "\u2028",
        " ",
        "\n",
        "-",
        "_",
        ".",
        "a",
        "yes ",
        "yes\n",
        "yes, ",
        "no-",
        "NaN,",
        "H2",
        "\\",
        "?",
    ),
)
"""What every expression is given, as often as its bound allows, and once more with another ending."""

EACH = {"finditer", "findall", "sub", "split"}
METHODS = {"search", "match", "fullmatch", *EACH}
"""How expressions are used: for the first thing that they find, or for each."""

KNOWN_BY_NAME = 80
"""The most characters of a word, a date, a number or the name of a field."""


@dataclass(frozen=True)
class Reader:
    """Something that reads what a model writes.

    Attributes:
        run: Reads a text.
        bound: Most characters that it is given.
        worst: Texts that are made to cost it the most, beside all `PIECES`.
    """

    run: Callable[[str], object]
    bound: int = MEGABYTE
    worst: tuple[str, ...] = ()

    def texts(self) -> Iterator[str]:
        # Twice: most expressions are slow only if the end does not match, and go back then.
        for text in (*self.worst, *(piece * (self.bound // len(piece)) for piece in PIECES)):
            yield text[: self.bound]
            yield text[: self.bound - 1] + "\x01"


def answer(text: str) -> Answer:
    return Answer("small", text, text or "called")


def expression(found: re.Pattern[str], methods: set[str]) -> Callable[[str], object]:
    def run(text: str) -> None:
        for method in methods - EACH:
            getattr(found, method)(text)
        if methods & EACH:
            for _ in found.finditer(text):
                pass

    return run


def compared(text: str) -> object:
    return FinalAnswers().same(answer(text), answer(text + "!"))


def called(text: str) -> object:
    one, other = (ToolCall("look_up", {"city": city}) for city in (text, text + "!"))
    return FinalAnswers().same(
        Answer("small", "", "called", tool_calls=(one,)), Answer("large", "", "called", tool_calls=(other,))
    )


def read(text: str) -> object:
    try:
        return json_text.read_json(text)
    except ValueError:
        return None


def grow(text: str) -> bool:
    """Take a text in a thousand pieces."""
    growing = growing_json.GrowingJson()
    size = max(len(text) // 1_000, 1)
    return any(growing.add(text[place : place + size]) for place in range(0, len(text), size)) or growing.end()


SCHEMA = {
    "$ref": "#/$defs/value",
    "$defs": {
        "value": {
            "anyOf": [
                {"items": {"$ref": "#/$defs/value"}, "uniqueItems": True, "type": "array"},
                {"additionalProperties": {"$ref": "#/$defs/value"}, "type": "object"},
                {"pattern": "^(a+)+$", "type": "string"},
            ]
        }
    },
}
OPEN, SHUT = json_text.DEPTH * "[", json_text.DEPTH * "]"
WIDE = "[" + ",".join(["[1.5]"] * (json_text.VALUES // 2 - 1)) + "]"
NAMED = "{" + ",".join(f'"{"a" * 200}{number}": "b"' for number in range(json_text.VALUES - 1)) + "}"
FULL = f"{OPEN}{','.join(['1'] * (json_text.VALUES - 100))}{SHUT}"


def expressions_of(module: Any) -> dict[str, tuple[re.Pattern[str], set[str]]]:
    """Return a module's expressions, those that its functions write where they use them too, and how they are used."""
    place = Path(str(module.__file__))
    file, source = place.relative_to(CORE).as_posix(), place.read_text()
    found: dict[str, tuple[re.Pattern[str], set[str]]] = {}
    for name, value in vars(module).items():
        members = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        several = [member for member in members if isinstance(member, re.Pattern)]
        # Those that stand in a table are used by another name.
        methods = METHODS & {*re.findall(rf"\b{name}\.(\w+)\(", source)} or {"fullmatch"}
        found |= {f"{file}::{name}" + f"[{at}]" * (len(several) > 1): (one, methods) for at, one in enumerate(several)}
    for function in (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            owner, _, method = ast.unparse(call.func).rpartition(".")
            if owner == "re":
                flags = re.IGNORECASE if "re.IGNORECASE" in ast.unparse(call) else re.NOFLAG
                pattern = re.compile(ast.literal_eval(call.args[0]), flags)
                found[f"{file}::{function.name} {pattern.pattern}"] = (pattern, {method})
    return found


BOUNDS = {
    "agreement/texts.py": texts.LONGEST_TEXT,
    "agreement/texts.py::_NAMED": 4 * final_answer._LONGEST,  # noqa: SLF001 -- the bounds are no one else's to know
    "agreement/texts.py::_COMMAND": 4 * final_answer._LONGEST,  # noqa: SLF001
    "agreement/texts.py::_BRACED": 4 * final_answer._LONGEST,  # noqa: SLF001
    "agreement/texts.py::_RAISED": 4 * final_answer._LONGEST,  # noqa: SLF001
    "agreement/texts.py::_COMPOUND": 4 * final_answer._LONGEST,  # noqa: SLF001
    "agreement/texts.py::_SYMBOL": 4 * final_answer._LONGEST,  # noqa: SLF001
    "agreement/final_answer.py": final_answer._TAIL,  # noqa: SLF001
    "agreement/refusals.py": refusals._HEAD,  # noqa: SLF001
    "agreement/fields.py": fields._LONGEST_LOOK,  # noqa: SLF001
    "agreement/objects.py": KNOWN_BY_NAME,
    "agreement/objects.py::_FENCED": objects._LONGEST_JSON,  # noqa: SLF001
    "agreement/quantities.py": 2 * quantities._MOST_DIGITS,  # noqa: SLF001
    "agreement/dates.py": KNOWN_BY_NAME,
    "policies/graders/prompt.py": grading._LONGEST_REPLY,  # noqa: SLF001
    "policies/judges/markers.py": prompt.ANSWER_LIMIT,
    "policies/judges/verdict.py": verdict._HEAD + 1,  # noqa: SLF001
    "profile/checks.py": checks._LONGEST,  # noqa: SLF001
}
"""How much of an answer the expressions of a file are given; some of them less."""


def readers() -> dict[str, Reader]:
    found = {}
    for module in (
        texts,
        final_answer,
        refusals,
        fields,
        objects,
        quantities,
        dates,
        markers,
        verdict,
        grading,
        checks,
    ):
        for name, (pattern, methods) in expressions_of(module).items():
            bound = BOUNDS.get(name, BOUNDS[name.partition("::")[0]])
            found[name] = Reader(expression(pattern, methods), bound)
    digits = quantities._MOST_DIGITS - 1  # noqa: SLF001
    return found | {
        # Parsers of short texts, by the functions that call them.
        "agreement/dates.py::day": Reader(dates.day, KNOWN_BY_NAME, ("99/99/9999", "9999-99-99", "99.99.9999")),
        "agreement/dates.py::_checked": Reader(dates.day, KNOWN_BY_NAME, ("31/02/0000", "30 february 0000")),
        "agreement/dates.py::time_of_day": Reader(dates.time_of_day, KNOWN_BY_NAME, ("99:99:99 pm UTC",)),
        "agreement/final_answer.py::_value": Reader(
            final_answer._value, KNOWN_BY_NAME, (".".join(["9" * 9] * 6), "9." * 40)  # noqa: SLF001
        ),
        "agreement/quantities.py::_exact": Reader(
            quantities.quantity, 2 * digits + 2, (f"{'9' * digits}/{'9' * digits}", f"{'9' * 50} {'9' * 30}/{'7' * 30}")
        ),
        "agreement/quantities.py::_read": Reader(
            quantities.quantity, 2 * digits, ("9" * digits + "e9999", "9e400 km", "1.5 x 10^-400", "9e-9999", "1,5e400")
        ),
        "agreement/quantities.py::_decimals": Reader(
            quantities.quantity, 2 * digits, ("1,234" * 12, "1" + ",234" * 19, "1" + ".234" * 19, "9" * 119)
        ),
        "agreement/quantities.py::_vulgar": Reader(
            quantities.quantity, 2 * digits, ("\u2189" * digits, "9" * 110 + "\u00bd")
        ),
        "agreement/quantities.py::_in_words": Reader(quantities.quantity, 2 * digits, ("nine hundred and " * 7,)),
        "agreement/quantities.py::quantity": Reader(quantities.quantity, MEGABYTE, ("$" + "9" * 58 + " trillion",)),
        "agreement/quantities.py::_close": Reader(_nearly_same, 2 * digits, ("9" * digits + "e400", "1e-400")),
        "agreement/quantities.py::_place": Reader(_nearly_same, 2 * digits, ("9" + "0" * digits, "1 000 000")),
        "agreement/texts.py::characters": Reader(texts.characters, texts.LONGEST_TEXT, ("\u0041\u030a" * 10_000,)),
        "agreement/texts.py::_character": Reader(
            texts.characters, texts.LONGEST_TEXT, ("".join(map(chr, range(0x80, 0x4F00))),)
        ),
        "agreement/texts.py::formula": Reader(texts.formula, 4 * KNOWN_BY_NAME, ("\u2075" * 320, r"\text{" * 50)),
        "agreement/objects.py::object_in": Reader(objects.object_in, MEGABYTE, (WIDE, FULL, '["' + '\\"' * 20_000)),
        "agreement/objects.py::_number": Reader(
            objects.object_in, objects._LONGEST_JSON, ("[" + "9e99," * 8_000 + "1]", "[" + "9" * 49_000 + "]")  # noqa: SLF001
        ),
        "agreement/objects.py::_native": Reader(_natively, objects._LONGEST_JSON, ("[" + "9e99," * 8_000 + "1]",)),  # noqa: SLF001
        # What reads a whole answer.
        "agreement/equality.py::FinalAnswers.same": Reader(compared),
        "agreement/equality.py::FinalAnswers.same, tools": Reader(called),
        "agreement/refusals.py::declines": Reader(refusals.declines),
        "agreement/refusals.py::finds_none": Reader(refusals.finds_none),
        "call/json_text.py::read_json": Reader(read, MEGABYTE, (OPEN, FULL, WIDE, NAMED, '["' + "\\" * MEGABYTE)),
        "call/growing_json.py::_is_hopeless": Reader(grow, MEGABYTE, ('{"a":"' + "x" * MEGABYTE, FULL, WIDE, NAMED)),
        "call/growing_json.py::_is_name": Reader(grow, MEGABYTE, ('{"a":"b","' + "x" * MEGABYTE,)),
        "call/form.py::json_flaw.flaw": Reader(_flaw_of_text, MEGABYTE, (FULL, WIDE, NAMED)),
        "call/form.py::schema_flaw": Reader(_flaw_of_value),
        "call/form.py::work_flaw": Reader(_work_of_value),
        "call/form.py::Form._call_flaw": Reader(_flaw_of_call),
        "call/bounded_schema.py::_with_whole_numbers": Reader(_flaw_of_text, MEGABYTE, (FULL, WIDE)),
        "call/patterns.py::matches": Reader(
            partial(patterns.matches, "(a|b)*a(a|b){200}c"), MEGABYTE, ("ab" * (patterns.LONGEST_MATCHED // 2),)
        ),
        "profile/checks.py::CHECKS": Reader(lambda text: checks.CHECKS["contains"]("", text, "1")),
        "integration/finish.py::finish_in": Reader(lambda text: finish_in({"finish_reason": text})),
        "policies/judges/markers.py::marked": Reader(
            lambda text: markers.marked("seed", [("answer", text)]), prompt.ANSWER_LIMIT
        ),
        "policies/judges/prompt.py::bounded": Reader(prompt.bounded),
        "policies/judges/verdict.py::verdict_of": Reader(verdict.verdict_of),
    }  # fmt: skip


def _nearly_same(text: str) -> object:
    one, other = quantities.quantity(text), quantities.quantity("1" + text[1:])
    return None if one is None or other is None else quantities.same_quantity(one, other)


def _natively(text: str) -> object:
    compare = {"a": lambda one, other: one is other}
    return FinalAnswers(compare=compare).same(answer(f'{{"a": {text}}}'), answer(f'{{"a": {text} }}'))


def _flaw_of_text(text: str) -> object:
    return form.json_flaw(SCHEMA)(answer(text))


def _flaw_of_value(text: str) -> object:
    return form.schema_flaw({text[: len(text) // 2]: [text]}, SCHEMA)


def _work_of_value(text: str) -> object:
    return form.work_flaw({text[: len(text) // 2]: [text]}, SCHEMA)


def _flaw_of_call(text: str) -> object:
    call = Answer("small", "", "called", tool_calls=(ToolCall("look_up", {"city": text}),))
    return form.Form({"look_up": {"properties": {"city": {"pattern": "^(a+)+$"}}}}).flaw(call)


# Of CPU time, since the machine may be busy with something else.
def milliseconds(run: Callable[[str], object], text: str) -> float:
    gc.disable()  # as `timeit` does: what it collects is not of this text
    try:
        began = time.process_time()
        run(text)
        return 1_000 * (time.process_time() - began)
    finally:
        gc.enable()


def slowest(reader: Reader) -> tuple[float, str]:
    """Return the milliseconds of the text that takes longest, and its beginning."""
    return max((milliseconds(reader.run, text), text[:24]) for text in reader.texts())


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--over", type=float, default=0.0, help="print only what takes more milliseconds than this")
    over = parser.parse_args().over
    slow = 0
    for name, reader in readers().items():
        for text in ("warm", "[1]"):  # what is imported late is imported now
            reader.run(text)
        took, text = slowest(reader)
        slow += took > AIM
        if took >= over:
            print(f"{took:8.1f} ms  {reader.bound:9,} characters  {name:60.60} {text!r}")
    print(f"{slow} of {len(readers())} take over {AIM} ms")


if __name__ == "__main__":
    main()
