"""The sections of the page, each a few figures of the report with what they mean."""

from llm_tiers.report.sections.answers import answers_section, calibration_section, grades_section
from llm_tiers.report.sections.headline import headline
from llm_tiers.report.sections.method import method_section
from llm_tiers.report.sections.nodes import nodes_section, proofs_section
from llm_tiers.report.sections.observed import observed_section
from llm_tiers.report.sections.place import frontier_section
from llm_tiers.report.sections.times import times_section

__all__ = [
    "answers_section",
    "calibration_section",
    "frontier_section",
    "grades_section",
    "headline",
    "method_section",
    "nodes_section",
    "observed_section",
    "proofs_section",
    "times_section",
]
