"""The table of calls: what several expectations found, by service, call and caller."""

from __future__ import annotations

from meshchaos.checks.kind import Finding, Matrix, MatrixCell, MatrixRow, Verdict
from meshchaos.report.matrix import calls_of

YES, NO = MatrixCell(Verdict.PASS, "let through (9)"), MatrixCell(Verdict.PASS, "refused (9)")
HOLE = MatrixCell(Verdict.FAIL, "under the fault let through: the application answered 200")
NOTHING = MatrixCell(None, "")


def finding(columns: tuple[str, ...], **rows: tuple[MatrixCell, ...]) -> Finding:
    named = tuple(MatrixRow(name.replace("_", "."), cells) for name, cells in rows.items())
    return Finding("denied", "x", ("observe",), Verdict.PASS, "", matrix=Matrix(columns, named))


def test_a_call_of_two_expectations_is_one_line() -> None:
    first = finding(("api.shop:80 GET /", "web.shop:80 GET /"), outside=(NO, NOTHING), page_shop=(NO, HOLE))
    second = finding(("api.shop:80 GET /", "api.shop:80 POST /"), cart_shop=(YES, NO), page_shop=(HOLE, NO))
    bare = Finding("success", "y", ("observe",), Verdict.PASS, "")
    api, web = calls_of([first, bare, second])
    assert (api.service, api.names) == ("api.shop:80", ("cart", "page", "outside"))
    assert api.rows == (("GET /", ((YES,), (NO, HOLE), (NO,))), ("POST /", ((NO,), (NO,), ())))
    assert (web.service, web.names, web.rows) == ("web.shop:80", ("page",), (("GET /", ((HOLE,),)),))
    assert calls_of([bare]) == ()


def test_callers_of_several_namespaces_keep_theirs() -> None:
    (api,) = calls_of([finding(("api.shop:80 GET /",), page_shop=(YES,), page_bank=(NO,), gateway=(NO,))])
    assert api.names == ("page.bank", "page.shop", "gateway")
