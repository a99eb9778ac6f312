"""Names in a statement: `:name`, wherever PostgreSQL would look for a value and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.handlers.statement import Statement


@pytest.mark.parametrize(
    ("text", "names", "written"),
    [
        ("select 1", (), "select 1"),
        ("select :a", ("a",), "select $1"),
        ("select f(:a,:b)", ("a", "b"), "select f($1,$2)"),
        ("select :b, :a, :b", ("b", "a"), "select $1, $2, $1"),
        ("select :a::int", ("a",), "select $1::int"),
        ("select '1'::int", (), "select '1'::int"),
        ("select ':a', :b", ("b",), "select ':a', $1"),
        ("select 'it''s :a', :b", ("b",), "select 'it''s :a', $1"),
        (r"select E'\':a', :b", ("b",), r"select E'\':a', $1"),
        ('select 1 as ":a", :b', ("b",), 'select 1 as ":a", $1'),
        ("select $$:a$$, :b", ("b",), "select $$:a$$, $1"),
        ("select $x$:a $$ :a$x$, :b", ("b",), "select $x$:a $$ :a$x$, $1"),
        ("select 1 -- :a\n, :b", ("b",), "select 1 -- :a\n, $1"),
        ("select /* :a /* :a */ :a */ :b", ("b",), "select /* :a /* :a */ :a */ $1"),
        ("select '/* ' , :b -- */", ("b",), "select '/* ' , $1 -- */"),
        ("select x[1:2], :b", ("b",), "select x[1:2], $1"),
        ("select x[lo:hi]", (), "select x[lo:hi]"),
        ("set x := :a", ("a",), "set x := $1"),
        ("select :A, :userId", ("A", "userId"), "select $1, $2"),
        ("x like'%\\' and x = :a", ("a",), "x like'%\\' and x = $1"),
        ("/* never closed :a", (), "/* never closed :a"),
    ],
)
def test_names_are_found_where_values_stand(
    text: str, names: tuple[str, ...], written: str
) -> None:
    statement = Statement.parse(text)
    assert statement.names == names
    assert statement.written(*(f"${n}" for n in range(1, len(names) + 1))) == written


@given(st.text(alphabet="ab:'\"$-/*\\ \nE", max_size=40))
def test_what_is_no_name_stays_as_it_is(text: str) -> None:
    statement = Statement.parse(text)
    assert statement.written(*(f":{name}" for name in statement.names)) == text
