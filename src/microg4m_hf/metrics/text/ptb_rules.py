"""The token rules of the Penn-Treebank tokenizer, as patterns over the stand-ins of :mod:`.ptb_characters`.

The longest match wins, and on a tie the earlier rule, so the order below matters only between equals.
"""

from __future__ import annotations

import re

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
