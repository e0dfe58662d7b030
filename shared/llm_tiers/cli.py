"""The command line: `profile`, `replay`, `calibrate`, `warm-start`, `demo`, `report`, `explain`, `history`, `config`.

What the last four do stands beside what they are about: `report/command.py`, `history/commands.py`,
`config/command.py`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer
from rich.console import Console

from llm_tiers.config.command import app as config_app
from llm_tiers.console import STDOUT, bar, check_writable, errors_in_one_line, offering, write_bytes, write_text
from llm_tiers.errors import ConfigError
from llm_tiers.history.commands import app as history_app
from llm_tiers.policies import settings as calibrated
from llm_tiers.report.command import explain, report

if TYPE_CHECKING:
    from llm_tiers.calibration import Calibration, Sample, Sweep
    from llm_tiers.policies.settings import Settings
    from llm_tiers.profile import Profile, Profiling
    from llm_tiers.replay import ReplayResult, ReplayTable

__all__ = ["app"]

app = typer.Typer(
    name="llm-tiers",
    help="Call by call, the cheapest LLM tier that gets it right.",
    epilog="Exit status: 0 where all is done; 1 where it is not, though the input is right: no policy reaches the "
    "target, a question has no answer, you said no, or the output could not be printed; 2 where the input is wrong, "
    "which standard error says; 130 after Ctrl-C.",
    no_args_is_help=True,
    # Rich's tracebacks show local variables, and so keys and prompts.
    pretty_exceptions_enable=False,
)


# What a single command needs is imported in its function: Chroma alone takes a second to load, and `--help` should not
# wait for it.

_PUBLISHED = ("llm-at", "metallm", "smart-paper:0.1", "guarantee:0.1")
"""The policies that the demo shows for the three published systems, and the guarantee beside SMART."""

_POLICIES = (
    *("single:", "start:", "llm-at", "llm-at-answers", "default", "doubt", "menu", "agree", "estimate", "linucb"),
    *("linucb-rules", "metallm", "cascade-routing", "agree-two", "agree-all", "guarantee:", "guarantee-grade:"),
    *("guarantee-judged:", "smart-paper:", "oracle", "random"),
)
"""What a shell offers after `--policy`; where they come from is slow to import."""

_CANDIDATES = ("default", "menu", "doubt", "agree", "estimate")
"""The policies that `calibrate` takes."""

_INTERRUPTED = 130
"""The exit status after Ctrl-C, by the convention of shells: 128 plus the signal's number."""

_NEEDS_MATPLOTLIB = "needs matplotlib: pip install 'llm-tiers[plot]'"


app.command()(report)
app.command()(explain)
app.add_typer(history_app)
app.add_typer(config_app)


class _Truth(TypedDict, total=False):
    """How much of the recorded truth a replay may learn from."""

    grade: bool
    feedback: float


class _Order(StrEnum):
    FILE = "file"
    SHUFFLE = "shuffle"


@app.callback()
def main() -> None:
    """Call by call, the cheapest LLM tier that gets it right."""


@app.command()
def replay(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Tables of recorded outcomes (.npz), or histories: folders, URLs. Of a history, the calls that all "
            "tiers answered, each weighed by the inverse of its chance.",
        ),
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=offering(*_POLICIES),
            help="single:TIER, start:TIER, llm-at, default, agree, doubt, linucb, linucb-rules, metallm, "
            "guarantee:DELTA, guarantee-grade:DELTA, guarantee-judged:DELTA, smart-paper:DELTA, oracle or random; "
            "repeatable. "
            "Without it: every single tier, llm-at, default and oracle.",
        ),
    ] = None,
    order: Annotated[_Order, typer.Option(help="Order of the questions.")] = _Order.FILE,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="Seed of the shuffle and the policy; repeatable.", show_default="0")
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(metavar="ARRAY", help="Array of embeddings.", show_default="embedding_wordllama, else embedding"),
    ] = None,
    knob: Annotated[
        float | None,
        typer.Option(metavar="X", help="In [0, 1], higher is more accurate; for llm-at it is theta."),
    ] = None,
    grade: Annotated[  # noqa: FBT002 -- a flag of the command line
        bool, typer.Option("--grade", help="Grade profiled calls by the recorded truth, as grade= would.")
    ] = False,
    feedback: Annotated[
        float,
        typer.Option(
            metavar="P",
            help="On this share of the calls, give feedback on the returned answer from the recorded truth.",
        ),
    ] = 0.0,
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Of a history, only the calls of this node and the nodes below.")
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Namespace of a history.")] = "default",
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="OUT.json", help="Write the results; - prints them.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw accuracy against cost.")] = None,
) -> None:
    """Run recorded outcomes through the real cascade, at no cost."""
    with errors_in_one_line():
        check_writable("--json", json_path)
        check_writable("--plot", plot)
        if plot is not None and not _can_draw():
            # Checked before the replay, which may take minutes.
            raise ConfigError(f"--plot {_NEEDS_MATPLOTLIB}")
        tables = _tables(sources, embedding, node, namespace)
        if not 0 <= feedback <= 1:
            raise ConfigError(f"--feedback {feedback:g} must lie in [0, 1], such as 0.05 for every twentieth call")
        truth = _Truth(grade=grade, feedback=feedback)
        # Where the JSON goes to standard output, the tables must not be mixed into it.
        console = Console(stderr=json_path == STDOUT)
        results = _replay_all(tables, policy, order, seed or [0], knob, truth=truth, console=console)
        if json_path is not None:
            write_text("--json", json_path, [json.dumps([result.to_dict() for result in results], indent=2), "\n"])
        _draw(results, plot)


@app.command()
def calibrate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Tables of recorded outcomes (.npz), or histories with audited calls: folders, URLs.",
        ),
    ],
    accuracy: Annotated[
        float | None,
        typer.Option(
            metavar="A",
            help="Target: this share of right answers, in [0, 1], as cheaply as possible. "
            "In a history, right means equal to the top tier's answer.",
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="USD|S%",
            help="Target: as right as possible for at most this many US$ per 1,000 calls, or at most this share of "
            "what the top tier alone costs.",
        ),
    ] = None,
    as_good_as: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Target: right as often as this tier alone (or llm-at), as cheaply as possible."
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=offering(*_CANDIDATES),
            help="Candidate: default, agree or estimate; repeatable.",
            show_default="default; agree and estimate where verdicts are recorded",
        ),
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Of a history, only the calls of this node and the nodes below.")
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Namespace of a history.")] = "default",
    embedding: Annotated[
        str | None,
        typer.Option(
            metavar="ARRAY", help="Array of embeddings, of a table.", show_default="embedding_wordllama, else embedding"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="TIERS.json", help="Write the settings, for `settings=` of the models.")
    ] = None,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="OUT.json", help="Write all points; - prints them instead of the table."),
    ] = None,
) -> None:
    """Find the policy and knob that reach a target on your own traffic. The exit status is 1 if none does."""
    from llm_tiers.calibration import aim_of, calibrate, candidates_of, sample_of

    with errors_in_one_line():
        check_writable("--out", out)
        check_writable("--json", None if json_path == STDOUT else json_path)
        if out is not None and (accuracy, cost, as_good_as) == (None, None, None):
            raise ConfigError("--out needs a target: --accuracy, --cost or --as-good-as")
        sample = sample_of(sources, node=node, namespace=namespace, embedding=embedding)
        aim = aim_of(sample, accuracy=accuracy, cost=cost, as_good_as=as_good_as)
        candidates = candidates_of(sample, policy or ())
        with _sweep(sample) as sweep:
            found = calibrate(sample, sweep, candidates=candidates, aim=aim, only=bool(policy))
        _print_calibration(found, json_path)
        if aim is not None:
            _save_settings(found.settings(aim), out)


@app.command()
def profile(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA.jsonl",
            help='One question per line: {"question": ...} or {"messages": [...]}, optionally with "key" (the right '
            'answer, or a list of them), "node" and "id".',
        ),
    ],
    ladder: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="module:attribute or file.py:attribute: a TieredChatModel, a TieredLLM, or a list of tiers.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="OUT.npz", help="Where the replay file goes.")],
    check: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            autocompletion=offering("exact", "contains"),
            help="exact or contains (compares words with the key's), or a function of question, answer and key, named "
            "like the ladder, that returns True, False, a number in [0, 1] or None.",
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(min=0, metavar="USD", help="Stop before this is exceeded, earlier runs of the file included."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many questions are asked at once.")] = 8,
    requests_per_minute: Annotated[
        float | None, typer.Option(min=0.1, metavar="N", help="The most requests to one tier per minute.")
    ] = None,
    retries: Annotated[
        int,
        typer.Option(min=0, help="How often a call is repeated after 429, a server error or a lost connection."),
    ] = 5,
    *,
    text: Annotated[bool, typer.Option("--text", help="Also keep questions and answers as text in the file.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only estimate what it would cost.")] = False,
) -> None:
    """Let every tier of a ladder answer a sample, and write a replay file.

    The exit status is 1 if a question is missing in it. The answers are kept in OUT.npz.progress.jsonl as they come:
    the same command continues where an earlier one was stopped, and pays for no answer twice.
    """
    from llm_tiers.profile import Limits, Profiling, load_check, load_ladder

    with errors_in_one_line():
        if out.suffix != ".npz":
            raise ConfigError(f"--out {out} must end in .npz")
        check_writable("--out", out)
        function = None if check is None else load_check(check)
        limits = Limits(concurrency, requests_per_minute, retries, max_cost)
        with Profiling(data, out, load_ladder(ladder), check=function, limits=limits) as profiling:
            # Everything is checked by now, so nobody agrees to a cost and then sees an error.
            if _agreed(profiling, max_cost=max_cost, yes=yes, dry_run=dry_run):
                _print_profile(_profiled(profiling, with_text=text), profiling, out)


@app.command("warm-start")
def warm_start(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="A replay file, such as `profile` writes.")],
    history: Annotated[str, typer.Argument(metavar="HISTORY", help="The folder or the URL of a history.")],
    node: Annotated[
        str | None, typer.Option(metavar="NODE", help="Node of the calls.", show_default="what the file says")
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Namespace of the history.")] = "default",
    embedding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=offering("wordllama", "minilm", "hashed"),
            help="wordllama, minilm or hashed.",
            show_default="as a model without embedding=",
        ),
    ] = None,
) -> None:
    """Add the questions of a replay file to a history as profiled calls. Doing it again adds nothing."""
    from llm_tiers.history import ChromaHistory
    from llm_tiers.profile import warm_start as start
    from llm_tiers.replay import load_table

    with errors_in_one_line():
        # Read before the history is opened, which would make a folder: a wrong file should leave none behind.
        questions = len(load_table(file))
        with (
            ChromaHistory(history, namespace=namespace, embedding=embedding) as opened,
            bar("adding", questions) as (progress, task),
        ):
            done = start(opened, file, node=node, on_record=lambda: progress.advance(task))
        typer.echo(f"{done.added} calls added to {history}, {done.known} known already; graded: {done.right_means}")


@app.command()
def demo(
    plot: Annotated[Path, typer.Option(metavar="OUT.png", help="Where the picture goes.")] = Path("llm-tiers-demo.png"),
) -> None:
    """Show on 1,900 recorded questions what each tier, the published systems and llm-tiers reach."""
    from llm_tiers.replay import BUNDLED

    with errors_in_one_line():
        check_writable("--plot", plot)
        # Without matplotlib there is no picture; the tables show the same.
        results = _replay_all(
            [_table(path, None) for path in BUNDLED], None, _Order.FILE, [0], None, published=_PUBLISHED
        )
        if _can_draw():
            _draw(results, plot)
        else:
            typer.echo(f"no picture: it {_NEEDS_MATPLOTLIB}", err=True)


def _agreed(profiling: Profiling, *, max_cost: float | None, yes: bool, dry_run: bool) -> bool:
    """Show what the profile will cost and say whether it may begin."""
    estimate, done = profiling.estimate(), len(profiling.progress.answers)
    if done:
        typer.echo(
            f"{done} answers are in {profiling.progress.path} already, for US$ {profiling.progress.spent:.4g}", err=True
        )
    typer.echo(estimate.in_words(), err=True)
    if dry_run:
        return False
    if max_cost is not None and profiling.progress.spent + estimate.usd > max_cost:
        typer.echo(f"that is more than --max-cost {max_cost:g}: asking will stop before that is exceeded", err=True)
    # With a bound on the cost the user has agreed already, and with no call left there is nothing to agree to.
    if yes or max_cost is not None or not estimate.calls:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask whether to begin: give --yes, or --max-cost")
    return typer.confirm("Begin?", err=True)


def _profiled(profiling: Profiling, *, with_text: bool) -> Profile:
    """Profile with a progress bar; after Ctrl-C say what is kept."""
    try:
        with bar("profiling", len(profiling.left())) as (progress, task):

            def advance() -> None:
                cost = profiling.progress.spent
                progress.update(task, advance=1, description=f"profiling, US$ {cost:.4g}")

            # Without markup: a provider's message may hold "[/INST]", which rich would take for a closing tag.
            say = partial(progress.console.print, markup=False, highlight=False)
            return profiling.run(on_answer=advance, say=say, with_text=with_text)
    except KeyboardInterrupt:
        kept = len(profiling.progress.answers)
        typer.echo(
            f"interrupted: {kept} answers are kept in {profiling.progress.path}; the same command goes on", err=True
        )
        raise typer.Exit(_INTERRUPTED) from None


def _print_profile(found: Profile, profiling: Profiling, out: Path) -> None:
    from llm_tiers.profile.report import lines_of, table_of

    if found.tiers:
        Console().print(table_of(found))
    for line in lines_of(found, out, profiling.progress.path):
        typer.echo(line, err=True)
    # The file is usable, but a script should notice that it does not cover the sample.
    if not found.is_whole:
        raise typer.Exit(1)


@contextmanager
def _sweep(sample: Sample) -> Iterator[Sweep]:
    from llm_tiers.calibration import Sweep

    with bar("calibrating") as (progress, task):
        # The second, finer sweep is planned only after the first has ended, so the total grows.
        def plan(questions: int) -> None:
            progress.update(task, total=(progress.tasks[0].total or 0) + questions)

        yield Sweep(
            sample,
            workers=os.cpu_count() or 1,
            on_work=plan,
            on_step=lambda questions: progress.advance(task, questions),
        )


def _print_calibration(found: Calibration, json_path: Path | None) -> None:
    from llm_tiers.calibration.report import advice, table_of

    points = json.dumps(found.to_dict(), indent=2) + "\n"
    if json_path == STDOUT:
        typer.echo(points, nl=False)
    else:
        if json_path is not None:
            write_text("--json", json_path, [points])
        Console().print(table_of(found))
    # If the JSON goes to standard output, the advice must not be mixed into it.
    for line in advice(found):
        typer.echo(line, err=json_path == STDOUT)


def _save_settings(settings: Settings | None, out: Path | None) -> None:
    """Write the settings, or exit with status 1 if there are none."""
    if settings is None:
        # Not 2, which stands for wrong arguments: a script must be able to distinguish the two.
        raise typer.Exit(1)
    if out is not None:
        # A rename is all or nothing: a model that starts meanwhile reads the old file or the new one.
        write_text("--out", out, [calibrated.text_of(settings)])
        typer.echo(f"settings: {out}; TieredChatModel(..., settings={str(out)!r}) loads them", err=True)


def _tables(sources: list[str], embedding: str | None, node: str | None, namespace: str) -> list[ReplayTable]:
    from llm_tiers.history.store.registry import is_history

    histories = [source for source in sources if is_history(source)]
    if node is not None and not histories:
        raise ConfigError(f"--node {node}: only histories have nodes; a file of recorded outcomes is one node")
    tables: list[ReplayTable] = []
    for source in sources:
        tables += _of_history(source, node, namespace) if source in histories else [_table(Path(source), embedding)]
    return tables


def _of_history(where: str, node: str | None, namespace: str) -> Sequence[ReplayTable]:
    from llm_tiers.calibration.production import production_of
    from llm_tiers.history.reading import read_records

    found = production_of(where, read_records(where, namespace=namespace), node=node)
    typer.echo(f"note: {found.note}", err=True)
    return found.tables


def _table(path: Path, embedding: str | None) -> ReplayTable:
    from llm_tiers.replay import load_table

    table = load_table(path, embedding)
    if not table.has_verdicts:
        typer.echo(
            f"note: {path} records no verdicts, so a judge is never sure and judged calls end at the top tier", err=True
        )
    return table


def _replay_all(
    tables: list[ReplayTable],
    policies: list[str] | None,
    order: _Order,
    seeds: list[int],
    knob: float | None,
    published: Sequence[str] = ("llm-at",),
    truth: _Truth | None = None,
    console: Console | None = None,
) -> list[ReplayResult]:
    """Replay every table with every policy and seed, and print a summary for each table."""
    from llm_tiers.replay import replay, replay_policy
    from llm_tiers.replay.summary import summary

    plans = [(table, policies or _all_policies(table, published)) for table in tables]
    # All names are checked before the first replay: a misspelt one should not show after minutes.
    for table, names in plans:
        for name in names:
            replay_policy(name, table, knob=knob)
    results = []
    console = console or Console()
    with _quiet(), _progress(sum(len(table) * len(names) * len(seeds) for table, names in plans)) as (advance, say):
        for table, names in plans:
            of_table = []
            for name in names:
                say(f"{table.path.stem}: {name}")
                of_table += [
                    replay(
                        table, name, knob=knob, order=order.value, seed=seed, on_question=advance, **(truth or _Truth())
                    )
                    for seed in seeds
                ]
            results.append((table, of_table))
    for table, of_table in results:
        console.print(summary(of_table, top=table.tiers[-1]))
    return [result for _, of_table in results for result in of_table]


def _all_policies(table: ReplayTable, published: Sequence[str]) -> list[str]:
    # In a history no judge's verdicts are kept of answers that nobody judged, and LLM-AT asks for one on each.
    known = published if table.weights is None else ()
    return [*(f"single:{tier}" for tier in table.tiers), *known, "default", "oracle"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings about recorded calls, on which nobody can act now."""
    logger = logging.getLogger("llm_tiers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[], None], Callable[[str], None]]]:
    with bar("replaying", total) as (progress, task):
        yield lambda: progress.advance(task), lambda text: progress.update(task, description=text)


def _can_draw() -> bool:
    # Importing it would be slow.
    return find_spec("matplotlib") is not None


def _draw(results: list[ReplayResult], path: Path | None) -> None:
    if path is None:
        return
    from llm_tiers.replay.plot import picture_of

    write_bytes("--plot", path, [picture_of(results)])
    typer.echo(f"accuracy against cost: {path}")
