"""The menu: rules that the flow runs and a profile replays, each written once."""

from llm_tiers.policies.menu.replaying import Profiled, Replayed, profiled, replayed
from llm_tiers.policies.menu.rule import Accept, Ask, AskVerdict, CallState, Cascade, Judged, Rule, Single, Step
from llm_tiers.policies.menu.rules import agree_all, agree_two, menu_of, rule_named
from llm_tiers.policies.menu.running import FixedRule, RuleJudge, is_flawed, plan_of

__all__ = [
    "Accept",
    "Ask",
    "AskVerdict",
    "CallState",
    "Cascade",
    "FixedRule",
    "Judged",
    "Profiled",
    "Replayed",
    "Rule",
    "RuleJudge",
    "Single",
    "Step",
    "agree_all",
    "agree_two",
    "is_flawed",
    "menu_of",
    "plan_of",
    "profiled",
    "replayed",
    "rule_named",
]
