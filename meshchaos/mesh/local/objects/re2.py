"""Whether a text is a regular expression in RE2's language (Envoy's, and Go's, in which Istio checks it).

No RE2 is at hand in Python: the expression is rewritten for Python's ``re``, which finds what is malformed, and what
Python has beyond RE2 is refused on the way (google/re2 wiki, Syntax). What gets past this is for Envoy to say.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 1024
"""Istio's limit, in characters."""

_MOST_REPEATS: Final = 1000
_ESCAPES: Final = frozenset("aftnrvAbBdDsSwWz0")
_POSIX: Final = frozenset(
    {"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper"}
    | {"word", "xdigit"}
)
_ONE_CHARACTER: Final = r"\\x\{[0-9A-Fa-f]+\} | \\x[0-9A-Fa-f]{2} | \\[pP](?:\{\^?\w+\}|[A-Z])"
_TOKEN: Final = re.compile(
    rf"""\[ (?P<negated>\^?) (?P<first>\]?) (?P<set>(?:\[:\^?\w+:\] | \\. | [^\]\\])*) \]
      | \\Q (?P<literal>.*?) (?:\\E|$)
      | (?P<one>{_ONE_CHARACTER})
      | \\ (?P<escape>.)
      | \(\?P?< (?P<name>[A-Za-z_]\w*) >
      | \(\? (?:[imsU]+(?:-[imsU]+)?|-[imsU]+)? (?P<flags>[:)])
      | (?P<odd>\(\?.?.?)
      | (?P<times>\{{ \d+ (?:,\d*)? \}} | [*+?])
      | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_SET: Final = re.compile(
    rf"\[:\^?(?P<posix>\w+):\] | (?P<one>{_ONE_CHARACTER}) | \\(?P<escape>.) | (?P<odd>[\[&~|])", re.VERBOSE | re.DOTALL
)


def wrong(pattern: str) -> str | None:
    """What is wrong with an expression, None when it is one."""
    if len(pattern) > LONGEST:
        return f"the regular expression is longer than {LONGEST} characters"
    try:
        re.compile(_rewritten(pattern))
    except (_NotRe2, re.error, OverflowError) as error:
        return f"{pattern!r} is not a regular expression: {error}"
    return None


class _NotRe2(Exception):
    """Says what RE2 lacks."""


def _rewritten(pattern: str) -> str:
    out: list[str] = []
    before = ""
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup or ""
        if kind != "times":
            out.append(_one(token))
        elif before == "times" and token.group() == "?":
            out.append("?")  # as few as possible
            kind = "lazy"
        elif before in {"times", "lazy"}:
            raise _NotRe2(f"{token.group()} repeats a repetition")
        elif any(int(count) > _MOST_REPEATS for count in re.findall(r"\d+", token.group())):
            raise _NotRe2(f"{token.group()} repeats more than {_MOST_REPEATS} times")
        else:
            out.append(token.group())
        before = kind
    return "".join(out)


def _one(token: re.Match[str]) -> str:
    """A token that repeats nothing, for Python."""
    match token.lastgroup:
        case "set":
            first = "\\]" if token["first"] else ""
            return f"[{token['negated']}{first}{_IN_SET.sub(_in_set, token['set'])}]"
        case "literal":
            return f"(?:{re.escape(token['literal'])})"
        case "one":
            return "a"
        case "escape":
            return _escaped(token["escape"])
        case "name":
            return f"(?P<{token['name']}>"
        case "flags":
            return "(?:" if token["flags"] == ":" else "(?:)"
        case "odd":
            raise _NotRe2(f"{token.group()} is not in RE2 (no look-around, no back-references)")
    return token.group()


def _in_set(token: re.Match[str]) -> str:
    if token["posix"] is not None:
        if token["posix"] not in _POSIX:
            raise _NotRe2(f"there is no class [:{token['posix']}:]")
        return "a"
    if token["odd"] is not None:
        return "\\" + token["odd"]
    return "a" if token["one"] is not None else _escaped(token["escape"])


def _escaped(character: str) -> str:
    if character in "123456789":
        raise _NotRe2(f"back-references (\\{character}) are not in RE2")
    if character.isascii() and character.isalnum() and character not in _ESCAPES:
        raise _NotRe2(f"\\{character} is not in RE2")
    return "\\Z" if character == "z" else f"\\{character}"
