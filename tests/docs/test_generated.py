"""The committed pages of the reference are what their generators write."""

from tests.docs.generated.pages import generated_pages


async def test_the_pages_are_what_the_code_says() -> None:
    """`make reference` writes them anew."""
    for file, text in (await generated_pages()).items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: make reference"
