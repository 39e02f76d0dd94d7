"""Penn-Treebank-style tokens as the COCO caption evaluation makes them: lower-cased, most punctuation removed.

A tokenizer of our own, derived from what the reference program (Stanford PTBTokenizer 3.4.1 as COCO runs it) prints.
It reads a text piece by piece between spaces, takes the longest token that any rule of :mod:`.ptb_rules` finds, the
first rule on a tie, and drops the marks that COCO drops. Brackets stay as ``-lrb-`` … because COCO looks for them in
capitals after lower-casing.

No released caption or answer comes out differently, and only three of 12,000 lines of technical prose and HTML do.
Known differences: the reference reads all items as one file, so that the first word of the next item decides about a
final "no.", and a form feed or U+2028 shifts all later items, while here an item stands for itself; letters that
Unicode gained after version 6 are dropped there and kept here.
"""

from __future__ import annotations

from functools import lru_cache

from .ptb_characters import BREAKS, QUOTES, REPLACED, shape
from .ptb_rules import GLUE, RULES, SENTENCE_STARTERS, SPACED, WHOLE_WORD

# COCO's list of what to remove; quotes, brackets and dots arrive here in their Treebank form.
_REMOVED = frozenset(['"', "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])


def coco_tokens(text: str) -> str:
    """The tokens of a text, joined by single spaces.

    >>> coco_tokens("She doesn't wave, it's Dr. Lee's T-shirt (blue).")
    "she does n't wave it 's dr. lee 's t-shirt -lrb- blue -rrb-"
    """
    # The reference writes a no-break space where such a token holds a space.
    plain = SPACED.sub(lambda found: found[0].replace(" ", GLUE), text.translate(BREAKS))
    pieces = plain.split()
    tokens: list[str] = []
    for index, piece in enumerate(pieces):
        if WHOLE_WORD(piece) and piece[-1] != ".":
            tokens += _tokens_of(piece, False, False)
            continue
        following = pieces[index + 1] if index + 1 < len(pieces) else ""
        tokens += _tokens_of(piece, following[:1].isdigit(), following in SENTENCE_STARTERS)
    return " ".join(tokens)


@lru_cache(maxsize=1 << 16)
def _tokens_of(piece: str, before_digit: bool, before_starter: bool) -> tuple[str, ...]:
    """The tokens of one piece without spaces; what follows it decides about its last period."""
    # The rules see one stand-in per kind of character, and what follows the piece as a space and a digit or letter.
    seen = shape(piece) + (" 0" if before_digit else " The " if before_starter else " ")
    tokens = []
    place = 0
    while place < len(piece):
        end = longest = place
        kind = ""
        for name, rule in RULES:
            match = rule.match(seen, place)
            if match and match.end() > longest:
                longest, end, kind = match.end(), match.end(rule.groups), name
        if end == place:  # no rule knows the character: the reference deletes it too
            place += 1
            continue
        token = piece[place:end]
        if kind == "split":  # cannot, gonna, …
            tokens += [token[:3], token[3:]]
        elif kind == "quotes":
            tokens.append("".join(QUOTES.get(mark, mark) for mark in token) if len(token) < 3 else "'")
        elif kind == "tag":  # brackets inside one keep their form
            tokens.append(token.translate(_MARKS))
        elif kind != "lone hyphen":
            tokens.append(_written(token))
        place = end
    return tuple(token for token in map(str.lower, tokens) if token not in _REMOVED)


def _written(token: str) -> str:
    """A token in Treebank spelling."""
    if token.isalnum() and token.isascii():
        return token
    if len(token) > 1 and token.strip("-") == "":
        return "--" if len(token) < 5 else token
    if token in REPLACED:
        return REPLACED[token]
    for mark, name in (("(", "-lrb-"), (")", "-rrb-")):
        token = token.replace(mark, name)
    return token.translate(_MARKS)


_MARKS = {ord("’"): "'", 0x92: "'", ord(GLUE): "\xa0"}  # inside a token
