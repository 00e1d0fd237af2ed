"""The house rules that a machine can check; each message says what to do instead (STYLE.md habit 14)."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from holdfast.world.errors import CODES

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "holdfast"
MODULES = sorted(SOURCE.rglob("*.py"))
PYTHON = [path for folder in ("src", "tests", "bench", "scripts") for path in (ROOT / folder).rglob("*.py")]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

LINES_MAX = 600
FUNCTION_LINES_MAX = 60
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "services", "service"} | {
    "managers", "manager", "models", "model", "misc", "tools",
}  # fmt: skip


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> list[tuple[str, str]]:
    """(module, name) for every import in the file; name is '' for `import module`."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return found


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {name_of(p): n for p in PYTHON if (n := len(p.read_text().splitlines())) > LINES_MAX}
    assert not long, f"part these by purpose: {long}"


def test_every_function_fits_on_a_screen() -> None:
    long = {}
    for path in PYTHON:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{name_of(path)}:{node.name}"] = lines
    assert not long, f"keep the branching in the parent and make the leaves pure: {long}"


def test_files_are_named_after_what_they_hold() -> None:
    bad = [name_of(p) for p in PYTHON if p.stem in FORBIDDEN_NAMES or p.parent.name in FORBIDDEN_NAMES]
    assert not bad, f"say what is in these files: {bad}"


def test_every_room_has_a_sign_and_nothing_else_on_its_door() -> None:
    for path in SOURCE.rglob("__init__.py"):
        body = tree(path).body
        assert body, f"{name_of(path)}: write the room's sign"
        assert ast.get_docstring(tree(path)), f"{name_of(path)}: write the room's sign"
        assert len(body) == 1, (
            f"{name_of(path)}: a sign is prose; import from the module that holds the thing"
        )


def test_every_folder_of_python_is_a_room_with_a_sign() -> None:
    for folder in {p.parent for p in MODULES}:
        if folder.name != "versions":
            assert (folder / "__init__.py").exists(), f"{name_of(folder)} has no sign"


def test_a_store_is_imported_only_inside_its_room() -> None:
    for path in MODULES:
        room = path.relative_to(SOURCE).parts[0]
        for module, name in imports_of(path):
            parts = f"{module}.{name}".split(".")
            if parts[0] == "holdfast" and any(part.startswith("store") for part in parts[2:]):
                assert parts[1] == room, (
                    f"{name_of(path)} reaches into {module}: call a function of that room"
                )


def test_sql_stands_in_stores_only() -> None:
    for path in MODULES:
        inside = path.relative_to(SOURCE).parts
        if inside[0] == "world" or path.stem.startswith("store"):
            continue
        for module, name in imports_of(path):
            if module.split(".")[0] == "sqlalchemy":
                assert name == "Connection", (
                    f"{name_of(path)} imports {module}.{name}: move the SQL to store.py"
                )


CLOCK_AND_CHANCE = re.compile(
    r"\btime\.(time|time_ns|monotonic|perf_counter|sleep)\(|datetime\.(now|utcnow)\(|(?<!np\.)\brandom\.\w+\("
    r"|\bos\.urandom\(|\bsecrets\.\w+\(|\buuid\.uuid[14]\("
)


def test_clock_and_chance_come_from_the_world() -> None:
    for path in MODULES:
        if path.relative_to(SOURCE).parts[0] == "world":
            continue
        found = CLOCK_AND_CHANCE.search(path.read_text())
        assert not found, (
            f"{name_of(path)}: {found and found.group()} - take a Clock or a Chance as an argument"
        )


def test_every_failure_is_raised_with_a_declared_code() -> None:
    used = set()
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in {"Refusal", "Trouble"}
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                code = node.args[0].value
                assert code in CODES, f"{name_of(path)}:{node.lineno}: declare {code!r} in world/errors.py"
                used.add(code)
    text = "".join(p.read_text() for p in MODULES if p.name != "errors.py")
    dead = {code for code in CODES if code not in used and f'"{code}"' not in text}
    assert not dead, f"nothing raises these; take them out of the catalogue: {dead}"


def test_nothing_is_mocked_skipped_or_left_undone() -> None:
    words = re.compile(
        r"unittest\.mock|MagicMock|monkeypatch\.setattr|NotImplementedError|\b(TODO|FIXME|XXX|HACK)\b"
    )
    for path in PYTHON:
        if path != Path(__file__):
            found = words.search(path.read_text())
            assert not found, f"{name_of(path)}: {found and found.group()}"


def test_every_dependency_has_its_reason_on_record() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(d for extra in project["optional-dependencies"].values() for d in extra),
    ]
    page = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()
    for requirement in wanted:
        library = re.split(r"[\[<>=~ ]", requirement)[0]
        assert f"| {library} |" in page, f"say in docs/decisions/dependencies.md why {library}"


def test_dependencies_are_locked_by_hash_and_name_no_host() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--find-links|--index-url", text), f"{lock}: run `make lock`"


def test_changelog_fragments_have_a_slug_and_a_kind() -> None:
    kinds = {"added", "changed", "fixed", "security"}
    for path in (ROOT / "changelog.d").iterdir():
        if path.name != "README.md":
            slug, kind, suffix = path.name.rsplit(".", 2)
            assert slug, path.name
            assert kind in kinds, path.name
            assert suffix == "md", path.name


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{name_of(page)} links to {target}, which is not there"


def test_modules_named_in_the_docs_exist() -> None:
    for page in DOCS:
        for dotted in re.findall(r"`((?:src/holdfast|tests|docs|bench|scripts)/[\w./-]+)`", page.read_text()):
            assert (ROOT / dotted).exists(), f"{name_of(page)} names {dotted}, which is not there"


def test_no_page_cites_a_line_number() -> None:
    for page in DOCS:
        assert not re.search(r"\.py:\d+|\bline \d+ of\b", page.read_text()), (
            f"{name_of(page)}: name the module"
        )


def test_every_make_target_is_explained_in_make_help() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in set(phony.group(1).split()):
        assert f"make {target} " in shown, f"give {target} a `## sentence`"
