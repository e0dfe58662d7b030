"""Texts that decline to answer, and texts that say that the material at hand holds no answer."""

from __future__ import annotations

import re

__all__ = ["declines", "finds_none"]

_HEAD = 400
"""Characters looked at: a refusal says so at once."""

_DRESSING = " \t\n\r\f\v!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u2019\u201d"

# Blanks are single when these are tried, so that every one of them is linear in the bounded head.
_SORRY = (
    r"(?:(?:i ?'?a?m |we are |we're )?(?:so |very |really |truly )?sorry[,.!:]? (?:but )?|unfortunately,? "
    r"|i apologi[sz]e[,.!:]? (?:but )?|as an ai(?: [\w-]+){0,3}, )?"
)
_UNABLE = (
    r"(?:cannot|can't|can not|could not|couldn't|won't|will not|(?:am|'m|are) unable to"
    r"|(?:am|'m) not able to)"
)
_HELP = (
    r"(?:help|assist|comply|answer|say|tell|fulfil|fulfill|do that|do this|continue|discuss that|discuss this"
    r"|provide (?:that|this|an answer|the answer|any answer|a definitive answer|(?:medical|legal|financial) advice)"
    r"|give (?:that|this|an answer|the answer|a definitive answer)|determine|engage)\b"
)
_DECLINES = re.compile(
    rf"\W{{0,8}}{_SORRY}(?:(?:i|we) ?{_UNABLE} {_HELP}"
    r"|(?:i|we) (?:do not|don't|simply don't|really don't) know\b(?! (?:of|that|him|her|them|about)\b)"
    r"|(?:i'm|i am|we are|we're) (?:not sure|not certain|unsure)\b"
    r"|(?:i|we) (?:must|have to) (?:decline|refuse)\b)",
    re.IGNORECASE,
)
_ANSWERS_ALL_THE_SAME = re.compile(
    r"\b(?:but|however|though|still)\b[^.]{0,80}\b(?:is|are|was|were|would|guess)\b", re.I
)
_WHOLE = re.compile(r"\W*(?:abstain|unknown|none|n/a|i(?: ?'?a?m)? (?:sorry|unable|not sure))\W*", re.IGNORECASE)
_AN_AI = re.compile(r"\W{0,8}as an ai\b.{0,120}?\bi (?:do not|don't|cannot|can't|am unable|am not)", re.IGNORECASE)
_ABSTAINS = re.compile(
    r"\b(?:i|we)(?:'ll| (?:will|must|shall|have to|choose to))? abstain\Z"
    r"|\b(?:answer|option|choice) (?:is|are)\b[\s:*_(\"']{0,6}abstain\Z",
    re.IGNORECASE,
)

_MATERIAL = (
    r"(?:(?:given|provided|supplied|above|retrieved|available) )?"
    r"(?:context|passages?|documents?|texts?|sources?|excerpts?|articles?|material|information provided|search results)"
)
_THE = r"(?:the |this |these |your |my )?"
_QUESTION = r"(?: to (?:this|the|your) question| (?:about|on|of|for|regarding) [\w' -]{1,60})?"
_NOT = "(?:does not|doesn't|do not|don't|did not)"
_LACKS = (
    rf"{_THE}{_MATERIAL} {_NOT} (?:contain|have|hold|provide|give|mention|say|state|specify|include)"
    rf"(?: (?:an|the|any|enough|this|that|sufficient))?(?: (?:answer|information|mention|it))?{_QUESTION}"
)
_HAS_NO = (
    rf"{_THE}{_MATERIAL} (?:contains?|provides?|gives?|has|have|holds?) no (?:answer|information|mention){_QUESTION}"
)
_THERE_IS_NO = rf"(?:there is |there's )?no (?:answer|information|mention)(?: [\w' -]{{1,60}})? in {_THE}{_MATERIAL}"
_IS_NOT_IN = (
    r"(?:the |an )?(?:answer|information|it|this) (?:is not|isn't|was not|could not be|cannot be) "
    rf"(?:found |contained |given |mentioned |provided |stated )?(?:in|by) {_THE}{_MATERIAL}"
)
_CANNOT_TELL = (
    r"(?:i|we) (?:cannot|can't|could not|am unable to|do not|don't) (?:answer|find|know|determine)"
    r"(?: (?:this|the|that|an|your))?(?: (?:question|answer))? ?(?:based on|from|in|with|given|using) "
    rf"{_THE}{_MATERIAL}"
)
_NONE_FOUND = tuple(
    re.compile(rf"\W{{0,8}}(?:{form})[.!]?\W{{0,4}}", re.IGNORECASE)
    for form in (_LACKS, _HAS_NO, _THERE_IS_NO, _IS_NOT_IN, _CANNOT_TELL)
)
_NAMED = re.compile(
    rf"\W{{0,8}}{_THE}{_MATERIAL} (?:does not|doesn't|do not|don't|did not) (?:mention|say|state|specify) "
    r"(?P<what>[\w' -]{1,60})\W{0,4}",
    re.IGNORECASE,
)


def _head(text: str) -> str:
    return " ".join(text[: 4 * _HEAD].replace("\u2019", "'").split())[:_HEAD]


def declines(text: str) -> bool:
    """Say whether a text is a refusal or an abstention, which equals nothing."""
    head = _head(text)
    if _WHOLE.fullmatch(head) or _abstains(text):
        return True
    # `I cannot answer this from the context` is a statement about the context, and equals others like it.
    if finds_none(text) is not None:
        return False
    said = _DECLINES.match(head) or _AN_AI.match(head)
    # `I'm not sure, but it is Paris` is an answer.
    return bool(said) and not _ANSWERS_ALL_THE_SAME.search(head)


def finds_none(text: str) -> str | None:
    """Return what a text says is not in the material, empty for the answer; None where it says nothing of the kind."""
    # A longer text says more than that there is no answer.
    if len(text) > _HEAD:
        return None
    head = _head(text)
    if any(form.fullmatch(head) for form in _NONE_FOUND):
        return ""
    named = _NAMED.fullmatch(head)
    what = named["what"].lower() if named else ""
    return ("" if what in ("it", "this", "that") else what) if named else None


def _abstains(text: str) -> bool:
    """Say whether a text ends in an abstention: a last paragraph of that one word, or a sentence that says so."""
    tail = text[-_HEAD:].replace("\u2019", "'").rstrip(_DRESSING)
    before, _, last = tail.rpartition("\n")
    is_paragraph = not before.rpartition("\n")[2].strip() and len(last) < _HEAD
    return (is_paragraph and last.strip(_DRESSING).lower() == "abstain") or bool(_ABSTAINS.search(last))
