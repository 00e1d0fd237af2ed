from __future__ import annotations

import time as wall
from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tenants.policy_patterns import Pattern, glob_matches


def nothing(_name: str) -> None:
    return None


def plainly_matches(pattern: str, text: str) -> bool:
    """The twin: a star is nothing, or one character and a star again."""

    @lru_cache(None)
    def rest(at: int, of: int) -> bool:
        if at == len(pattern):
            return of == len(text)
        if pattern[at] == "*":
            return rest(at + 1, of) or (of < len(text) and rest(at, of + 1))
        return of < len(text) and pattern[at] in ("?", text[of]) and rest(at + 1, of + 1)

    return rest(0, 0)


@given(st.text(alphabet="ab*?/", max_size=10), st.text(alphabet="ab/", max_size=12))
def test_stars_and_question_marks_match_as_they_do_one_character_at_a_time(pattern: str, text: str) -> None:
    assert glob_matches(pattern, text) == plainly_matches(pattern, text)


@given(st.text(max_size=20))
def test_every_text_matches_itself_and_a_star(text: str) -> None:
    assert Pattern(text, wild=False, variables=False).matches(text, nothing)
    assert glob_matches("*", text)


@pytest.mark.parametrize(
    ("pattern", "facts", "text", "matches"),
    [
        ("home/${aws:username}/*", {"aws:username": "joe"}, "home/joe/a", True),
        ("home/${aws:username}/*", {"aws:username": "joe"}, "home/jim/a", False),
        ("home/${AWS:UserName}/*", {"aws:username": "joe"}, "home/joe/a", True),
        ("home/${aws:username}", {}, "home/", False),
        ("home/${aws:username}", {"aws:username": "*"}, "home/joe", False),
        ("home/${aws:username}", {"aws:username": "*"}, "home/*", True),
        ("home/${aws:username, 'shared'}", {}, "home/shared", True),
        ("home/${aws:username, 'shared'}", {"aws:username": "joe"}, "home/shared", False),
        ("home/${aws:username}", {"aws:username": ["joe"]}, "home/joe", False),
        ("a${*}b", {}, "a*b", True),
        ("a${*}b", {}, "axb", False),
        ("a${?}${$}b", {}, "a?$b", True),
        ("a${", {}, "a${", True),
        ("a${}b", {}, "a${}b", True),
    ],
)
def test_variables_stand_for_facts_of_the_request(
    pattern: str, facts: dict[str, str], text: str, matches: bool
) -> None:
    assert Pattern(pattern, wild=True, variables=True).matches(text, facts.get) == matches


def test_without_variables_a_dollar_is_a_dollar() -> None:
    assert Pattern("${aws:username}", wild=True, variables=False).matches("${aws:username}", nothing)


@pytest.mark.parametrize("pattern", ["*a" * 2000 + "b", "*a?" * 2000 + "b", "?*" * 3000 + "b", "a?" * 4000])
def test_no_pattern_takes_long(pattern: str) -> None:
    began = wall.perf_counter()
    assert not glob_matches(pattern, "a" * 8000 + "c")
    assert wall.perf_counter() - began < 2
