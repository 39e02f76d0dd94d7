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

import re
import unicodedata
from functools import lru_cache

# The token rules of the Penn-Treebank tokenizer, as patterns over the stand-ins of :mod:`.ptb_characters`.
#
# The longest match wins, and on a tie the earlier rule, so the order below matters only between equals.

# Abbreviations that keep their period whatever follows; written small or with a capital, and most also in capitals.
_ABBREVIATIONS = (
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri ala ariz calif colo conn ct "
    "dak fla ga ind kan kans ky md mich minn mo mont neb nev okla penn tenn va vt wis wisc wyo inc co cos corp "
    "pte ptes pty ptys ppte ppty ltd plc bancorp bhd assn univ intl sys invt elec natl mfg mtg dept jr sr bros "
    "blvd rd esq mr mrs ms dr drs prof profs sen sens rep reps atty attys lt col gen messrs gov govs adm rev maj "
    "sgt cpl pvt mt capt st ste ave pres lieut rt hon brig cmdr comdr pfc spc supt supts det adj adv assoc asst "
    "ens insp mlle mme msgr sfc alex wm jos cie treas cf tel est ext sq bldg ft ph al seq etc vs "
)
# The same, but only with a capital: small, they are words.
_CAPITAL_ABBREVIATIONS = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
_STARTERS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Mr. Ms. Now "
    "Once One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You"
)
# Before one of these a single letter with a period ended a sentence: "plan b. The".
SENTENCE_STARTERS = frozenset(_STARTERS.split())


def _any_case(words: str) -> str:
    return "|".join(form for word in words.split() for form in (word, word.capitalize(), word.upper()))


_CAPITALS = "|".join(form for word in _CAPITAL_ABBREVIATIONS.split() for form in (word, word.upper()))
_LETTER = "[A-Za-zé]"
_WORDLY = "[A-Za-zé0-9]"
_HYPHEN = "[-_‑]"
# Tokens that may hold spaces. Before a text is cut at spaces, GLUE (a character of private use) takes their place.
GLUE = "\ue000"
_TAG = (
    r"<(?:[!?][A-Za-z-][^>]*|/?[A-Za-z][A-Za-z0-9_:.-]*/?|"
    r"[A-Za-z][A-Za-z0-9_:.-]*(?: +[A-Za-z][A-Za-z0-9_:.-]*(?: *= *(?:\"[^\"]*\"|'[^']*'))?)* */?)>"
)
_MIXED_FRACTION = r"[0-9]{1,4}[- ][0-9]{1,4}/[0-9]{1,4}"
_TELEPHONE = r"(?:\([0-9]{2,3}\) ?|\+{0,2}(?:[0-9]{2,4}[- ])?[0-9]{2,4}[- ])[0-9]{3,4}[- ]?[0-9]{3,5}"
SPACED = re.compile(rf"{_TAG}|(?<![A-Za-z0-9.,:/-])(?:{_MIXED_FRACTION}|{_TELEPHONE})")
_APOSTROPHE = "(?:['’]|&apos;)"
_SHORT_FORM = rf"{_APOSTROPHE}(?i:[msd]|re|ve|ll)(?![A-Za-z])"
_CLIPPED = (
    "(?i:'n'|'n(?![A-Za-zé0-9-])|'em|'till?|'cause|c'mon|o'clock|ma'am|cap'n|hallowe'en|n?e'er|o'er|li'l|qu'il|"
    "ol'|dunkin'|somethin')"
).replace("'", _APOSTROPHE)
_NUMBER = r"(?:[0-9]*(?:[.:,][0-9]+)+|[0-9]+)"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_BLANK = rf' {GLUE}\t"<>|()'
_PART = rf"(?:[dDoOlL]{_APOSTROPHE}{_LETTER})?{_WORDLY}+"
_SLASHED = "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"

_PATTERNS = (
    # "cannot" is two tokens, as are some words that people run together; the first three letters are the first one.
    ("split", rf"(?i:cannot|gonna|gotta|lemme|gimme|wanna)(?!{_SHORT_FORM})"),
    ("tag", _TAG.replace(" ", GLUE)),
    ("dash", "&mdash;|&ndash;|&MD;|–|—|―|\x96|\x97"),
    ("entity", "&(?:amp|lt|gt);|&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);"),
    ("word", rf"{_LETTER}{_WORDLY}*(?:[.!?]{_LETTER}{_WORDLY}*)*"),
    # A group is the token where the rest of a match only counts towards its length: does|n't.
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
    ("fraction", _MIXED_FRACTION.replace(" ", GLUE)),
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
    ("telephone", _TELEPHONE.replace(" ", GLUE)),
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
RULES = tuple((name, re.compile(pattern)) for name, pattern in _PATTERNS)
WHOLE_WORD = re.compile(r"[A-Za-z]+\Z").match


# What the reference tokenizer sees in each character: letter, digit, symbol, quote, space or nothing.

# Treebank spelling of single characters and entities.
REPLACED = {
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "£": "#",
    "€": "$",
    "¤": "$",
    "₠": "$",
    "\x80": "$",
    "¢": "cents",
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
    "–": "--",
    "—": "--",
    "―": "--",
    "\x96": "--",
    "\x97": "--",
    "…": "...",
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&mdash;": "--",
    "&ndash;": "--",
    "&MD;": "--",
}
# Characters that separate words and leave nothing behind; soft hyphens vanish without a trace.
BREAKS = dict.fromkeys((*range(0x20), 0x7F, 0xA0, 0x200B, 0x200C, 0x200D, 0x2060, 0xE000, 0xFEFF), " ") | {0xAD: None}

# Quotes outside ASCII, in Treebank form. A pair of any two of them, or of backticks, is one token.
QUOTES = {
    **dict.fromkeys("‘‛‹\x91", "`"),
    **dict.fromkeys("“«\x93", "``"),
    **dict.fromkeys("’›\x92", "'"),
    **dict.fromkeys("”»\x94", "''"),
}
# Symbols outside ASCII that are tokens of their own; the others are deleted.
_SYMBOLS = re.compile(
    "[¡¥-©¬®-´¶-¹¿×÷;·։־׀׃׆׳״؀-؃؆-،ؔ؛؞؟٪٭۔܀-܍߶-߸।॥฿๏᾽‖‗‚„-•‰-‸※‾-⁂⁄⁰⁴-⁾₀-₎₤℀℁℃-℆℈℉℔№-℘℞-℣℥℧℩℮℺℻⅀-⅄⅊-⅍⅏⅕-⅞"
    "←-⯿、。〒・！-／：-＠［-｀｛-･￠￡￥￦]"
)


def shape(piece: str) -> str:
    """The piece with one stand-in per kind of character, same length: letters é, digits 7, symbols §, raised ² …

    >>> shape("naïve☆b¹٣")
    'naéve§b²7'
    """
    return piece if piece.isascii() else "".join(map(_stand_in, piece))


@lru_cache(maxsize=4096)
def _stand_in(character: str) -> str:
    if character.isascii() or character == "\ue000" or character in REPLACED or character == "、":
        return character
    if character in "’\x92":
        return "’"
    if character in QUOTES or character in "„‚‟":
        return "“"
    if character in "֊‐‑":  # joins words as a hyphen does, but vanishes where it stands alone
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


# COCO's list of what to remove; quotes, brackets and dots arrive here in their Treebank form.
_REMOVED = frozenset(['"', "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])


def tokenize_ptb(text: str) -> str:
    """The tokens of a text, joined by single spaces.

    >>> tokenize_ptb("She doesn't wave, it's Dr. Lee's T-shirt (blue).")
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
