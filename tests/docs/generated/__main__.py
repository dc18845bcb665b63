"""Writes the generated pages of the reference: `make reference`."""

import asyncio

from tests.docs.generated.pages import generated_pages


def main() -> None:
    """Write each page into its file."""
    for file, text in asyncio.run(generated_pages()).items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
