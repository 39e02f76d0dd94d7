"""Penn-Treebank-style tokens as the COCO caption evaluation makes them: lower-cased, most punctuation removed.

This tokenizer is our own, derived from the output of the reference program (Stanford PTBTokenizer 3.4.1 as COCO runs
it). It reads a text piece by piece between spaces, takes the longest token that any rule finds, the first rule on a
tie, and drops the marks that COCO drops. Brackets stay as ``-lrb-`` … because COCO looks for them in capitals after
lower-casing.

No released caption or answer is tokenized differently, and only three of 12,000 lines of technical prose and HTML are.
Known differences: the reference reads all items as one file, so the first word of the next item decides about a final
"no.", and a form feed or U+2028 shifts all later items, while here every item is tokenized alone; letters that Unicode
gained after version 6 are dropped there and kept here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def tokenize_ptb(text: str) -> str:
    """Return the tokens of a text, joined by single spaces.

    Example:
        >>> tokenize_ptb("She doesn't wave, it's Dr. Lee's T-shirt (blue).")
        "she does n't wave it 's dr. lee 's t-shirt -lrb- blue -rrb-"
    """
    # The reference writes a no-break space for a space inside a token.
    pieces = _SPACED.sub(lambda match: match[0].replace(" ", _GLUE), text.translate(_BREAKS)).split()
    tokens: list[str] = []
    for index, piece in enumerate(pieces):
        if _WHOLE_WORD(piece) and piece[-1] != ".":
            tokens += _tokenize_piece(piece, False, False)
            continue
        following = pieces[index + 1] if index + 1 < len(pieces) else ""
        tokens += _tokenize_piece(piece, following[:1].isdigit(), following in _SENTENCE_STARTERS)
    return " ".join(tokens)


@lru_cache(maxsize=1 << 16)
def _tokenize_piece(piece: str, before_digit: bool, before_starter: bool) -> tuple[str, ...]:
    """Tokenize one piece without spaces; what follows it decides about its last period."""
    # The rules see one stand-in per kind of character, and what follows the piece as a space and a digit or letter.
    shape = _shape(piece) + (" 0" if before_digit else " The " if before_starter else " ")
    tokens = []
    start = 0
    while start < len(piece):
        end = longest = start
        kind = ""
        for name, rule in _RULES:
            match = rule.match(shape, start)
            if match and match.end() > longest:
                longest, end, kind = match.end(), match.end(rule.groups), name
        if end == start:  # no rule knows the character: the reference deletes it too
            start += 1
            continue
        token = piece[start:end]
        if kind == "split":  # cannot, gonna, …
            tokens += [token[:3], token[3:]]
        elif kind == "quotes":
            tokens.append("".join(_QUOTES.get(mark, mark) for mark in token) if len(token) < 3 else "'")
        elif kind == "tag":  # brackets inside a tag keep their form
            tokens.append(token.translate(_MARKS))
        elif kind != "lone hyphen":
            tokens.append(_treebank_spelling(token))
        start = end
    return tuple(token for token in map(str.lower, tokens) if token not in _REMOVED)


def _treebank_spelling(token: str) -> str:
    if token.isalnum() and token.isascii():
        return token
    if len(token) > 1 and token.strip("-") == "":
        return "--" if len(token) < 5 else token
    if token in _REPLACED:
        return _REPLACED[token]
    return token.replace("(", "-lrb-").replace(")", "-rrb-").translate(_MARKS)


# Rules, as patterns over the stand-ins of `_shape`. The longest match wins, and on a tie the earlier rule.

# Abbreviations that keep their period whatever follows; written small or with a capital, and most also in capitals.
_ABBREVIATIONS = (
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri ala ariz calif colo conn ct "
    "dak fla ga ind kan kans ky md mich minn mo mont neb nev okla penn tenn va vt wis wisc wyo inc co cos corp "
    "pte ptes pty ptys ppte ppty ltd plc bancorp bhd assn univ intl sys invt elec natl mfg mtg dept jr sr bros "
    "blvd rd esq mr mrs ms dr drs prof profs sen sens rep reps atty attys lt col gen messrs gov govs adm rev maj "
    "sgt cpl pvt mt capt st ste ave pres lieut rt hon brig cmdr comdr pfc spc supt supts det adj adv assoc asst "
    "ens insp mlle mme msgr sfc alex wm jos cie treas cf tel est ext sq bldg ft ph al seq etc vs "
)
# The same, but only with a capital; in lower case they are words.
_CAPITAL_ABBREVIATIONS = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
_STARTERS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Mr. Ms. Now "
    "Once One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You"
)
# Before one of these, a single letter with a period ends a sentence: "plan b. The".
_SENTENCE_STARTERS = frozenset(_STARTERS.split())


def _any_case(words: str) -> str:
    return "|".join(form for word in words.split() for form in (word, word.capitalize(), word.upper()))


_CAPITALS = "|".join(form for word in _CAPITAL_ABBREVIATIONS.split() for form in (word, word.upper()))
_LETTER = "[A-Za-zé]"
_WORD_CHARACTER = "[A-Za-zé0-9]"
_HYPHEN = "[-_‑]"
# Tokens that may contain spaces. Before a text is split at spaces, _GLUE (a private-use character) replaces them.
_GLUE = "\ue000"
_TAG = (
    r"<(?:[!?][A-Za-z-][^>]*|/?[A-Za-z][A-Za-z0-9_:.-]*/?|"
    r"[A-Za-z][A-Za-z0-9_:.-]*(?: +[A-Za-z][A-Za-z0-9_:.-]*(?: *= *(?:\"[^\"]*\"|'[^']*'))?)* */?)>"
)
_MIXED_FRACTION = r"[0-9]{1,4}[- ][0-9]{1,4}/[0-9]{1,4}"
_TELEPHONE = r"(?:\([0-9]{2,3}\) ?|\+{0,2}(?:[0-9]{2,4}[- ])?[0-9]{2,4}[- ])[0-9]{3,4}[- ]?[0-9]{3,5}"
_SPACED = re.compile(rf"{_TAG}|(?<![A-Za-z0-9.,:/-])(?:{_MIXED_FRACTION}|{_TELEPHONE})")
_APOSTROPHE = "(?:['’]|&apos;)"
_SHORT_FORM = rf"{_APOSTROPHE}(?i:[msd]|re|ve|ll)(?![A-Za-z])"
_CLIPPED = (
    "(?i:'n'|'n(?![A-Za-zé0-9-])|'em|'till?|'cause|c'mon|o'clock|ma'am|cap'n|hallowe'en|n?e'er|o'er|li'l|qu'il|"
    "ol'|dunkin'|somethin')"
).replace("'", _APOSTROPHE)
_NUMBER = r"(?:[0-9]*(?:[.:,][0-9]+)+|[0-9]+)"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_BLANK = rf' {_GLUE}\t"<>|()'
_PART = rf"(?:[dDoOlL]{_APOSTROPHE}{_LETTER})?{_WORD_CHARACTER}+"
_SLASHED = "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"

_PATTERNS = (
    # "cannot" is two tokens, like some contractions; the first token has three letters.
    ("split", rf"(?i:cannot|gonna|gotta|lemme|gimme|wanna)(?!{_SHORT_FORM})"),
    ("tag", _TAG.replace(" ", _GLUE)),
    ("dash", "&mdash;|&ndash;|&MD;|–|—|―|\x96|\x97"),
    ("entity", "&(?:amp|lt|gt);|&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);"),
    ("word", rf"{_LETTER}{_WORD_CHARACTER}*(?:[.!?]{_LETTER}{_WORD_CHARACTER}*)*"),
    # With a group, the token is the group, and the rest of the match only counts for its length: does|n't.
    ("verb", r"([A-Za-z]*[A-MO-Za-mo-z])[nN]['’`][tT]"),
    ("apostrophe word", _CLIPPED),
    ("apostrophe word", rf"(?i:{_APOSTROPHE}t(?=is|was)|y{_APOSTROPHE}(?={_LETTER}))|[lLdDjJ]{_APOSTROPHE}"),
    ("address", rf"https?://[^{_BLANK}]+[^{_BLANK}.!?{{}},-]"),
    (
        "address",
        rf"(?:www\.(?:[^{_BLANK}.!?{{}},]+\.)+[a-zA-Z]{{2,4}}|(?:[^{_BLANK}`'.!?{{}},_$:/;=\[\]-]+\.)+(?:com|net|org|edu))"
        rf"(?:/[^{_BLANK}]+[^{_BLANK}.!?{{}},-])?",
    ),
    ("address", rf"(?:<|&lt;)?[a-zA-Z0-9][^{_BLANK}{{}}]*@(?:[^{_BLANK}{{}}.]+\.)*[^{_BLANK}{{}}.]+(?:>|&gt;)?"),
    ("handle", rf"@[A-Za-z_][A-Za-z0-9_]*|#{_LETTER}+"),
    ("contraction", rf"{_SHORT_FORM}|(?i:n['’`]t)(?![A-Za-z])"),
    ("number", rf"[-+]?{_NUMBER}"),
    ("version", r"[0-9]+(?:\.[0-9]+)*\.[xX](?=[\s,;:])"),
    ("date", r"[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{2,4}"),
    ("fraction", _MIXED_FRACTION.replace(" ", _GLUE)),
    ("fraction", "[0-9]{1,4}/[0-9]{1,4}"),
    ("fraction", "[½¼¾⅓⅔]"),
    ("decade", rf"{_APOSTROPHE}(?:[02-9]0s(?![A-Za-z0-9])|[0-9]{{2}}(?=\s))"),
    ("slashed", rf"{_SLASHED}(?:/{_SLASHED}){{1,2}}"),
    ("currency", r"[A-Z]*\$|#+|[£€¤₠¢\x80]"),
    ("abbreviation", rf"(?:{_any_case(_ABBREVIATIONS)}|{_CAPITALS})\."),
    ("abbreviation", rf"(?:{_any_case(_BEFORE_NUMBERS)})\.(?= ?[0-9])"),
    ("abbreviation", rf"(?:{_ACRONYM}|(?i:ed|ph)\.[dD])\."),
    ("abbreviation", r"[A-Za-z]\.(?! The )"),
    ("programming", r"[cC]\+\+|[cCfF]#"),
    ("telephone", _TELEPHONE.replace(" ", _GLUE)),
    ("smiley", r"[<>]?[:;=][-o*']?[()DPdp\\{@|\[\]](?![A-Za-z0-9])"),
    ("smiley", r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)"),
    ("joined capitals", r"[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+"),
    ("thing", rf"[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:[A-Za-z0-9]+|{_ACRONYM}\.))+"),
    ("thing", rf"{_PART}(?:{_HYPHEN}{_PART})*"),
    ("dots", r"\.{3,5}|…"),
    # A period stays with its word before a comma, colon or semicolon: "etc.," and also "word.,".
    ("word with period", rf"(?:{_PART}(?:{_HYPHEN}{_PART})*|[A-Z]+(?:[+&][A-Z]+)+|{_NUMBER})\.(?=[,;:、])"),
    ("marks", r"[?!]+|@+|-+|_+|\*+|(?:\\\*){1,3}|<<|>>|²+|₂+"),
    ("quotes", "[`“’]{1,2}|[\"']|&quot;|&apos;"),
    ("lone hyphen", "‑"),
    ("mark", r"[][(){}.,:;、<>=/+&%@^|~\\$§]"),
)
_RULES = tuple((name, re.compile(pattern)) for name, pattern in _PATTERNS)
_WHOLE_WORD = re.compile(r"[A-Za-z]+\Z").match


# Characters: what the rules see in place of each one, and how it is spelled in the tokens.

# Treebank spelling of single characters and entities.
_REPLACED = {
    "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "£": "#", "€": "$", "¤": "$", "₠": "$", "\x80": "$",
    "¢": "cents", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "–": "--", "—": "--", "―": "--",
    "\x96": "--", "\x97": "--", "…": "...", "&amp;": "&", "&lt;": "<", "&gt;": ">", "&mdash;": "--", "&ndash;": "--",
    "&MD;": "--",
}  # fmt: skip
# Characters that separate words and are deleted; a soft hyphen is deleted without separating.
_BREAKS = dict.fromkeys((*range(0x20), 0x7F, 0xA0, 0x200B, 0x200C, 0x200D, 0x2060, 0xE000, 0xFEFF), " ") | {0xAD: None}

# Quotes outside ASCII, in Treebank form. A pair of any two of them, or of backticks, is one token.
_QUOTES = {
    **dict.fromkeys("‘‛‹\x91", "`"),
    **dict.fromkeys("“«\x93", "``"),
    **dict.fromkeys("’›\x92", "'"),
    **dict.fromkeys("”»\x94", "''"),
}
_MARKS = {ord("’"): "'", 0x92: "'", ord(_GLUE): "\xa0"}  # spelling inside a token
# What COCO removes; quotes, brackets and dots are in their Treebank form by then.
_REMOVED = frozenset(['"', "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
# Symbols outside ASCII that are tokens of their own; the others are deleted.
_SYMBOLS = re.compile(
    "[¡¥-©¬®-´¶-¹¿×÷;·։־׀׃׆׳״؀-؃؆-،ؔ؛؞؟٪٭۔܀-܍߶-߸।॥฿๏᾽‖‗‚„-•‰-‸※‾-⁂⁄⁰⁴-⁾₀-₎₤℀℁℃-℆℈℉℔№-℘℞-℣℥℧℩℮℺℻⅀-⅄⅊-⅍⅏⅕-⅞"
    "←-⯿、。〒・！-／：-＠［-｀｛-･￠￡￥￦]"
)


def _shape(piece: str) -> str:
    """Replace every character outside ASCII by the stand-in of its kind: letters é, digits 7, symbols §, raised ² …

    Example:
        >>> _shape("naïve☆b¹٣")
        'naéve§b²7'
    """
    return piece if piece.isascii() else "".join(map(_stand_in, piece))


@lru_cache(maxsize=4096)
def _stand_in(character: str) -> str:
    if character.isascii() or character == "\ue000" or character in _REPLACED or character == "、":
        return character
    if character in "’\x92":
        return "’"
    if character in _QUOTES or character in "„‚‟":
        return "“"
    if character in "֊‐‑":  # joins words like a hyphen, but is deleted when alone
        return "‑"
    if character in "²³¹⁰" or "⁴" <= character <= "⁾":
        return "²"
    if "₀" <= character <= "₎":
        return "₂"
    if _SYMBOLS.match(character):
        return "§"
    if ord(character) > 0xFFFF:
        return "\0"
    category = unicodedata.category(character)
    if character.isalpha() or "˂" <= character <= "΅" or (category in ("Mn", "Mc") and character < "༠"):
        return "é"
    return "7" if category == "Nd" else "\0"
