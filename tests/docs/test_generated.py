"""The committed pages of the reference are the output of their generators."""

from tests.docs.generated.pages import generated_pages


async def test_the_generated_pages_are_current() -> None:
    """`make reference` writes the pages again."""
    for file, text in (await generated_pages()).items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: make reference"
