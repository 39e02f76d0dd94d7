"""Choose six of the questions that a model proposes about a caption: what a caption does not say is not asked.

The rules are those that the released texts follow: at least half of the content words of an answer are in the caption,
no question is asked twice, and at most one question cannot be answered from the caption, and it comes last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

UNANSWERABLE = "Not mentioned"
KEPT = 6  # questions per clip
PROPOSED = 10
SUPPORT = 0.5  # of the content words of an answer, at least
MAX_REPLY = 40_000  # characters of a reply that are read

# Words without content of their own.
_EMPTY_WORDS = """
a about above after again against all also although am an and another any are as at be because been before being below
between both but by can cannot could did do does doing down during each either else ever every few for from further had
has have having he her here hers herself him himself his how i if in inside into is it its itself just like may me might
more most much must my near neither no nor not of off on once one only onto or other our out outside over own same she
should since so some such than that the their theirs them themselves then there these they this those through to too
toward towards under until up upon us very was we were what when where whether which while who whom whose why will with
within without would yes you your
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_ENDINGS = ("ings", "ing", "edly", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e", "y")


class Choice(NamedTuple):
    """The questions that were kept, in order, and why the others were not."""

    kept: list[dict[str, str]]
    dropped: list[dict[str, str]]  # Q, A and why


def content_words(text: str) -> list[str]:
    """Return the stems of the words of a text that carry content.

    >>> content_words("She's floating beside the hatches."), content_words("Yes.")
    (['float', 'besid', 'hatch'], [])
    """
    words = (match.group().casefold().replace("\u2019", "'").split("'")[0] for match in _WORD.finditer(text))
    return [_stem(word) for word in words if word and word not in _EMPTY]


def _stem(word: str) -> str:
    """Cut one ending off, so that "floats" and "floating" are one word."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            return (
                stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and ending in ("ing", "ed", "er", "ers") else stem
            )
    return word


def support(answer: str, caption: str) -> float:
    """Return the share of the content words of an answer that are in the caption; 1 for an answer without any.

    >>> support("A red helmet.", "A person puts a helmet on."), support("Yes.", "Two people.")
    (0.5, 1.0)
    """
    words = content_words(answer)
    known = set(content_words(caption))
    return sum(word in known for word in words) / len(words) if words else 1.0


def is_unanswerable(answer: str) -> bool:
    """Whether an answer says that the caption does not tell.

    >>> is_unanswerable("Not mentioned."), is_unanswerable("A helmet.")
    (True, False)
    """
    text = " ".join(answer.casefold().split()).rstrip(".! ")
    return bool(
        re.fullmatch(r"(it is |this is )?not (mentioned|specified|stated|described|given|known)( in .*)?", text)
    )


def choose_questions(proposals: Sequence[Mapping[str, str]], caption: str, keep: int = KEPT) -> Choice:
    """Rank and filter proposals of questions about a caption.

    Among the questions that pass the rules, the next one is always the one whose answer covers most words of the
    caption that no earlier answer has; then the better supported one, then the one that was proposed first. One that
    cannot be answered, if there is any, takes the last place.

    Args:
        proposals: Questions and answers, under ``"Q"`` and ``"A"``.
        caption: The final caption.
        keep: How many to keep.

    Returns:
        What was kept, and the others with the reason.

    Example:
        >>> pairs = [{"Q": "Who floats?", "A": "A dog."}, {"Q": "What floats?", "A": "A pen."}]
        >>> choice = choose_questions(pairs, "A pen floats.")
        >>> [one["Q"] for one in choice.kept], choice.dropped[0]["why"]
        (['What floats?'], '0 % of the content words of the answer are in the caption')
    """
    seen: set[str] = set()
    passed: list[tuple[int, dict[str, str], float]] = []
    unanswerable: list[dict[str, str]] = []
    dropped = []
    for place, given in enumerate(proposals):
        pair = {"Q": " ".join(given["Q"].split()), "A": " ".join(given["A"].split())}
        key = " ".join(_WORD.findall(pair["Q"].casefold()))
        share = support(pair["A"], caption)
        why = ""
        if not key or not pair["A"]:
            why = "the question or the answer is empty"
        elif key in seen:
            why = "the question is repeated"
        elif is_unanswerable(pair["A"]):
            why = "another question cannot be answered either" if unanswerable else ""
        elif share < SUPPORT:
            why = f"{100 * share:.0f} % of the content words of the answer are in the caption"
        if why:
            dropped.append({**pair, "why": why})
        elif is_unanswerable(pair["A"]):
            unanswerable.append(pair)
        else:
            passed.append((place, pair, share))
        seen.add(key)
    kept: list[dict[str, str]] = []
    fresh = set(content_words(caption))
    while passed and len(kept) < keep - len(unanswerable):
        best = max(passed, key=lambda one: (len(fresh & set(content_words(one[1]["A"]))), one[2], -one[0]))
        passed.remove(best)
        kept.append(best[1])
        fresh -= set(content_words(best[1]["A"]))
    dropped += [{**pair, "why": f"{keep} better ones are kept"} for _, pair, _ in passed]
    return Choice(kept + unanswerable, dropped)


def rule_faults(pairs: Sequence[Mapping[str, str]], caption: str) -> list[str | None]:
    """Return for each question of a clip which rule it breaks, None for one that passes. ``status`` counts them.

    >>> rule_faults([{"Q": "Who?", "A": "Not mentioned."}, {"Q": "What?", "A": "A pen."}], "A pen floats.")
    ['a question without an answer is not the last one', None]
    """
    found: list[str | None] = []
    seen: set[str] = set()
    unanswerable = 0
    for place, pair in enumerate(pairs):
        key = " ".join(_WORD.findall(pair["Q"].casefold()))
        fault = None
        if key in seen:
            fault = "the question is repeated"
        elif is_unanswerable(pair["A"]):
            unanswerable += 1
            if unanswerable > 1:
                fault = "more than one question without an answer"
            elif place + 1 < len(pairs):
                fault = "a question without an answer is not the last one"
        elif support(pair["A"], caption) < SUPPORT:
            fault = "the answer is not in the caption"
        seen.add(key)
        found.append(fault)
    return found


_NUMBERED = re.compile(r"^\s*(?:[-*\u2022]|\(?\d{1,2}[.):])?\s*")
_LABEL = re.compile(r"^\W*(q(?:uestion)?|a(?:nswer)?)\s*\d{0,2}\W*[:.)]\W*", re.IGNORECASE)


def parse_proposals(reply: str) -> list[dict[str, str]]:
    """Read questions and answers out of the reply of a model: JSON, or lines with ``Q:`` and ``A:``, or neither.

    >>> parse_proposals('Sure! [{"Q": "Who?", "A": "Two."}]')
    [{'Q': 'Who?', 'A': 'Two.'}]
    >>> parse_proposals("1. **Q:** Who waves?\\n   **A:** Nobody.")
    [{'Q': 'Who waves?', 'A': 'Nobody.'}]
    >>> parse_proposals("1. Who waves? Nobody.\\n2. What floats? A pen.")
    [{'Q': 'Who waves?', 'A': 'Nobody.'}, {'Q': 'What floats?', 'A': 'A pen.'}]
    """
    text = reply[:MAX_REPLY]
    return _from_json(text) or _from_lines(text)


def _from_json(text: str) -> list[dict[str, str]]:
    start, end = text.find("["), text.rfind("]")
    try:
        rows = json.loads(text[start : end + 1]) if 0 <= start < end else []
    except (ValueError, RecursionError):
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        fields = {str(key).casefold()[:1]: value for key, value in row.items()} if isinstance(row, dict) else {}
        if isinstance(fields.get("q"), str) and isinstance(fields.get("a"), str):
            found.append({"Q": fields["q"].strip(), "A": fields["a"].strip()})
    return found


def _from_lines(text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    question = ""
    for line in text.splitlines():
        plain = _NUMBERED.sub("", line.replace("**", "")).strip()
        label = _LABEL.match(plain)
        rest = plain[label.end() :].strip() if label else plain
        if not rest:
            continue
        if label and label[1][:1].casefold() == "q":
            question = rest
        elif question:
            found.append({"Q": question, "A": rest})
            question = ""
        elif "?" in rest:
            question, _, answer = rest.partition("?")
            question = f"{question.strip()}?" if _WORD.search(question) else ""
            if question and answer.strip(" -:\u2013\u2014"):
                found.append({"Q": question, "A": answer.strip(" -:\u2013\u2014")})
                question = ""
    return found


def describe_rules(entries: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many questions of entries of a ``vqa_and_captioning.json`` pass the rules, and what the others break.

    >>> describe_rules([{"caption": "A pen floats.", "qa_pairs": [{"Q": "What floats?", "A": "A pen."}]}])
    {'questions': 1, 'pass': 1}
    """
    counts = {"questions": 0, "pass": 0}
    for entry in entries:
        for fault in rule_faults(entry["qa_pairs"], entry["caption"]):
            counts["questions"] += 1
            counts[fault or "pass"] = counts.get(fault or "pass", 0) + 1
    return counts
