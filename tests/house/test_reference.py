"""docs/reference says what the code does: it is generated, and this notices when it was not."""

import pytest
from scripts.reference import FOLDER, HEAD, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_is_current(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == HEAD + PAGES[name]().rstrip() + "\n", "run `make reference`"
