"""What a history shows: figures from its records, as a page, a summary, JSON and CSV."""

from llm_tiers.report.figures import Node, Promised, Report, report_of
from llm_tiers.report.page import page_of

__all__ = ["Node", "Promised", "Report", "page_of", "report_of"]
