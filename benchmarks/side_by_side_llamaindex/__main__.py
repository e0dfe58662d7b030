"""TieredLLM beside what else there is: what LlamaIndex builds on an LLM, on each.

    pip install '.[llamaindex,test]' && python benchmarks/side_by_side_llamaindex

All over real `OpenAI` clients and a loopback server. Prints Markdown.
"""

from __future__ import annotations

import logging
import warnings

import candidates
import checks


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    results = {name: checks.run(name) for name in candidates.NAMES}
    print("| |", " | ".join(candidates.NAMES.values()), "|")
    print("|---|" + "---|" * len(results))
    for position, (title, _, _) in enumerate(checks.CHECKS):
        print(f"| {title} |", " | ".join("yes" if result[position] else "no" for result in results.values()), "|")
    print("| in all |", " | ".join(f"{sum(result)} of {len(result)}" for result in results.values()), "|")


if __name__ == "__main__":
    main()
