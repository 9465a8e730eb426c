"""Single values, against what Go, RE2 and Kubernetes take."""

from __future__ import annotations

import pytest

from meshchaos.mesh.local.objects import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("250ms", 250_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1h30m", 5_400_000_000_000),
        ("-2s", -2_000_000_000),
        ("+1us", 1000),
        ("1µs", 1000),
        ("", None),
        ("5", None),
        ("s", None),
        ("1 s", None),
        ("1d", None),
        ("--1s", None),
        ("1s2", None),
    ],
)
def test_durations_are_gos(text: str, expected: int | None) -> None:
    assert values.nanoseconds(text) == expected


@pytest.mark.parametrize(
    "name", ["reviews", "a.b.svc.cluster.local", "*", "*.example.com", "*-x.example.com", "10.0.0.1", "A.b"]
)
def test_hosts(name: str) -> None:
    assert values.host(name) is None


@pytest.mark.parametrize("name", ["a_b", "-a", "a-", "a..b", "a.*", "**", "http://a", "a:80", "a/b", ".a", "a" * 64])
def test_no_hosts(name: str) -> None:
    assert values.host(name) is not None


GOOD = [
    r"a",
    r"^.*$",
    r"GET|HEAD",
    r"[[:alpha:]]+",
    r"[^[:^digit:]_]",
    r"\pL",
    r"\p{Greek}+",
    r"\PN",
    r"(?i)x",
    r"(?i:x)y",
    r"(?s-m:.)",
    r"(?P<n>a)",
    r"(?<n>a)",
    r"\z",
    r"\(?=a",
    r"\Qa.b(\E+",
    r"\Q(",
    r"\x{41}",
    r"\x41",
    r"[\x41-\x{5A}]",
    r"[^]a]",
    r"[]]",
    r"[[&|~-]",
    r"a{1,1000}",
    r"a{2}",
    r"a{,3}",
    r"a*?",
    r"a{2,}?",
    r".+?b",
    r"\.",
    r"\d\w\s\b\B\A",
    r"[a\]b]",
    r"\07",
    r"/a/\d+/.*",
    r"(?:)",
    r"(a|b)*",
    r"\/",
    r"\-",
    r"{a}",
]
BAD = [
    r"(",
    r")",
    r"[",
    r"*",
    r"+a",
    r"(?=a)",
    r"(?!a)",
    r"(?<=a)",
    r"(?<!a)",
    r"(a)\1",
    r"(?P=n)",
    r"(?>a)",
    r"(?(1)a|b)",
    r"(?#c)a",
    r"(?x)a",
    r"(?a)b",
    r"(?u)b",
    r"(?L)a",
    r"(?P<1>a)",
    r"\Z",
    r"\h",
    r"\u0041",
    r"\N{DASH}",
    r"\C",
    r"a**",
    r"a*+",
    r"a+++",
    r"a???",
    r"a{1001}",
    r"a{1,1001}",
    r"a{2}{3}",
    r"[b-a]",
    r"[a-\d]",
    r"[[:foo:]]",
    r"(?P<n>a)(?P<n>b)",
    "\\",
    r"\8",
]


@pytest.mark.parametrize("text", GOOD)
def test_expressions_of_re2(text: str) -> None:
    assert values.regex(text) is None


@pytest.mark.parametrize("text", [*BAD, "a" * 1025])
def test_no_expressions_of_re2(text: str) -> None:
    assert values.regex(text) is not None


@pytest.mark.parametrize(
    "text",
    ["x", "", "100%%", "%START_TIME%", "%REQ(a)%%REQ(b)%", "%START_TIME(%s.%3f)%", "a %REQ(x-y?:path):3% b", "a\tb"],
)
def test_header_values(text: str) -> None:
    assert values.header_value(text) is None


@pytest.mark.parametrize("text", ["100%", "%START_TIME%%", "abc%123", "a\nb"])
def test_no_header_values(text: str) -> None:
    assert values.header_value(text) is not None


def test_labels() -> None:
    assert [values.label_key(key) for key in ("app", "app.kubernetes.io/name", "a/b_c.d")] == [None] * 3
    assert None not in [values.label_key(key) for key in ("", "/a", "a/", "a/b/c", "-a", "a b")]
    assert None not in [values.label_value(value) for value in ("-a", "a b", "a" * 64)]
