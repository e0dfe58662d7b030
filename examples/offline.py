"""Where the examples' models are: on this machine or, with `--live`, at OpenAI.

An example makes OpenAI's clients as any program does. Without `--live` the environment sends them to a server on this
machine that plays the models; the example's own code is the same.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from llm_tiers.testing import LoopbackRequest, LoopbackServer, Script

TIERS = ("gpt-5-nano", "gpt-5-mini", "gpt-5")
"""OpenAI's models that the examples ask, cheapest first."""


def live() -> bool:
    """Return whether the command line says `--live`; without a key the program ends here."""
    about = sys.modules["__main__"].__doc__
    parser = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--live", action="store_true", help="ask OpenAI's models, with the key in OPENAI_API_KEY")
    asked: bool = parser.parse_args().live
    if asked and not os.environ.get("OPENAI_API_KEY"):
        sys.exit("--live asks OpenAI's models: set OPENAI_API_KEY, or leave --live out")
    return asked


@contextmanager
def offline_unless_live(scripts: Mapping[str, Script]) -> Iterator[None]:
    """Send OpenAI's clients that are made inside to a server that plays `scripts`, by model, unless it is `--live`."""
    if live():
        yield
        return
    with LoopbackServer(scripts) as server:
        # LangChain and LlamaIndex read the address from different variables.
        here = dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), server.base_url)
        with patch.dict(os.environ, here | {"OPENAI_API_KEY": "unused", "no_proxy": "127.0.0.1"}):
            yield


def adding_up_to(most: int) -> Callable[[LoopbackRequest], str]:
    """Play a model that adds two numbers rightly as long as the sum is no more than `most`."""

    def play(request: LoopbackRequest) -> str:
        one, other = map(int, re.findall(r"\d+", request.ask)[:2])
        return f"The answer is {one + other if one + other <= most else one}."

    return play
