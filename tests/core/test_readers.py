"""Whatever reads what a model writes is listed in `benchmarks/bombs.py` with its worst input, and takes no time."""

import ast
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOMBS = runpy.run_path(str(ROOT / "benchmarks" / "bombs.py"))
READERS = BOMBS["readers"]()
MILLISECONDS = 500
"""Ten times the aim, for a machine that is busy; what is not linear takes minutes."""

FOLDERS = {"shared/llm_tiers/": "", "langchain_tiers/": "langchain_tiers/", "llamaindex_tiers/": "llamaindex_tiers/"}
EXPRESSIONS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
PARSERS = {
    *("loads", "read_json", "from_json", "parse_partial_json", "parse_json_markdown", "literal_eval", "parse"),
    *(
        "raw_decode",
        "fromisoformat",
        "strptime",
        "model_validate",
        "model_validate_json",
        "validate_json",
        "validate_python",
    ),
    *("parse_obj", "parse_raw", "iter_errors", "first_error", "SchemaValidator", "TypeAdapter", "normalize"),
}
NUMBERS = {"int", "float", "Fraction", "Decimal", "date", "datetime"}
READING_ROOMS = ("agreement/", "call/", "integration/", "langchain_tiers/", "llamaindex_tiers/")
"""Where numbers are made of texts; elsewhere they are made of numbers."""

OF_NO_MODEL = {
    "agreement/quantities.py::_units": "our own table",
    "agreement/votes.py::Votes._slope": "our own numbers",
    "agreement/votes.py::Votes._vote": "our own numbers",
    "agreement/votes.py::Votes.hardness": "our own numbers",
    "agreement/votes.py::Votes.new": "our own numbers",
    "agreement/votes.py::_assumed_vote": "our own numbers",
    "call/form.py::_error_in": "the user's schema",
    "call/patterns.py::_compiled": "the user's pattern",
    "embedding/hashed.py::_TOKEN": "16,384 characters of the user's text; see test_hashed.py",
    "history/chroma.py::_NAMESPACE": "the user's argument",
    "history/jsonl.py::_parsed": "the user's file",
    "history/store/facts.py::read": "what the history wrote",
    "history/store/facts.py::trace_of": "what the history wrote, 4,000 bytes",
    "history/store/library.py::Library._nodes_for": "the name of a node",
    "history/store/manifest.py::Manifest._read": "the history's file",
    "history/store/snapshots.py::Snapshots._sealed": "the history's file; see test_kept_studies.py",
    "history/store/snapshots.py::of_bytes": "what the history wrote, 64 MB",
    "integration/faults.py::_OF_THE_REQUEST": "4,000 characters of a provider's error",
    "integration/faults.py::_OF_THE_TIER": "4,000 characters of a provider's error",
    "integration/faults.py::_UNKNOWN_SETTING": "what Python says of a call",
    "integration/faults.py::retry_after_of": "a header",
    "ladder/circuits.py::_TIMEOUT": "the names of a client's classes",
    "ladder/provider.py::_ADDRESS": "the names of a client's fields",
    "ladder/provider.py::_SECRET": "the names of a client's fields",
    "langchain_tiers/pickling.py::unpacked": "what was pickled here",
    "langchain_tiers/raw.py::_PLACE": "what Python's json says of a text",
    "langchain_tiers/serialized.py::_PRIVATE": "the names of a client's fields",
    "llamaindex_tiers/spans.py::_hash": "the user's prompt",
    "config/loading.py::_parsed": "the user's file, at most 1 MB",
    "history/store/salvage.py::_COLLECTION": "names that the history gave",
    "history/store/salvage.py::_apply_queue": "the history's own database",
    "history/store/salvage.py::_manifest": "the history's own file",
    "history/store/service.py::Service._read": "the history's own file",
    "policies/settings.py::_content": "the user's file",
    "policies/settings.py::read_settings": "the user's file",
    "testing/loopback.py::_parsed": "for tests",
    "testing/obliging.py::_plain": "for tests",
    "testing/obliging.py::obliging": "for tests",
    "testing/recording.py::Recording.load": "for tests",
    "testing/recording.py::_MARKED": "for tests",
    "testing/wire.py::events": "for tests",
    "profile/progress.py::Progress._parse": "the profile's own file",
    "profile/questions.py::_question": "the user's file",
}
TESTED_ELSEWHERE = {
    "call/bounded_schema.py::first_error": "test_bounded_schema.py",
    "langchain_tiers/performer.py::_is_json": "with_langchain/test_readers.py",
    "langchain_tiers/structured.py::Shape.build": "with_langchain/test_readers.py",
    "langchain_tiers/structured.py::_in_markdown": "with_langchain/test_readers.py",
    "langchain_tiers/structured.py::_partly": "with_langchain/test_readers.py",
    "llamaindex_tiers/messages.py::_arguments": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/readings.py::_bounded.parse": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/readings.py::_passing": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/readings.py::ranks_in": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/readings.py::score_after_result": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/readings.py::typed_triplets_in": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/retrieving.py::chosen_in": "with_llamaindex/test_readers.py",
    "llamaindex_tiers/retrieving.py::masked_in": "with_llamaindex/test_readers.py",
}


def reads(call, file):
    """Say whether a call makes an expression, runs one by `re`, or parses a text."""
    owner, _, name = ast.unparse(call.func).rpartition(".")
    if owner == "re":
        return name in EXPRESSIONS
    return name in PARSERS or (name in NUMBERS and file.startswith(READING_ROOMS))


def places_in(source, file):
    """Return the names of the functions and constants of a file in which something is parsed."""
    found = set()

    def walk(node, inside):
        for child in ast.iter_child_nodes(node):
            path = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                path = (*inside, child.name)
            elif isinstance(child, ast.Assign | ast.AnnAssign) and not inside:
                path = (ast.unparse(child.targets[0] if isinstance(child, ast.Assign) else child.target),)
            if isinstance(child, ast.Call) and reads(child, file):
                found.add(f"{file}::{'.'.join(path)}")
            walk(child, path)

    walk(ast.parse(source), ())
    return found


def places():
    found = set()
    for folder, prefix in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            file = prefix + path.relative_to(ROOT / folder).as_posix()
            found |= places_in(path.read_text(), file)
    return found


def listed():
    """Return the places that the benchmark lists: without the number or the text of an expression in them."""
    return {name.partition(" ")[0].partition("[")[0].rstrip(",") for name in READERS}


def test_every_reader_is_listed():
    assert sorted(places() - listed() - OF_NO_MODEL.keys() - TESTED_ELSEWHERE.keys()) == []


def test_nothing_is_listed_that_is_gone():
    assert sorted((OF_NO_MODEL.keys() | TESTED_ELSEWHERE.keys()) - places()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import re\n_NEW = re.compile('a+')",
        "def new(text):\n    return re.search('a+', text)",
        "class New:\n    async def new(self, text):\n        return json.loads(text)",
        "def new(text):\n    return date.fromisoformat(text)",
        "new = [int(part) for part in parts]",
    ],
)
def test_a_new_reader_is_noticed(source):
    assert places_in(source, "agreement/new.py") - listed() - OF_NO_MODEL.keys()


@pytest.mark.parametrize("name", READERS)
def test_no_reader_takes_long(name):
    reader = READERS[name]
    whole = reader.bound >= 100_000
    for place, text in enumerate(reader.texts()):
        # All of them on a megabyte take a minute, and are the benchmark's.
        if place < 2 * len(reader.worst) or not whole or place % 10 == 0:
            assert BOMBS["milliseconds"](reader.run, text) < MILLISECONDS, text[:24]


def test_each_expression_is_run_as_the_code_runs_it():
    for module in ("texts", "final_answer", "refusals", "objects", "quantities", "dates"):
        for name, (_, used) in BOMBS["expressions_of"](BOMBS[module]).items():
            assert used & {"search", "match", "fullmatch", "finditer", "findall", "sub", "split"}, name
