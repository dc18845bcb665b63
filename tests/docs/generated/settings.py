"""The page of settings: an introduction, and the tables of `user-gateway settings`."""

from app.cli.settings import settings_tables

_HEAD = """\
# Settings

Each setting is a variable, in the environment or in a file `.env`, and a key of the
[configuration file](file.md): `GATEWAY_DEADLINE__BUDGET` is `budget` in the table `[deadline]`.
`<SOURCE>` is the name of a source: `PROFILE`, `BILLING`, `ACTIVITY` or one of yours. A variable
wins over the file, and the file wins over the defaults of an installation (`GATEWAY_DEFAULTS`).
`user-gateway settings` prints these tables.

A variable with a list has commas between its items (`GATEWAY_HOSTS=api.example.com,localhost`), or
is a JSON list. A table is a JSON object in a variable.
"""


def settings_page() -> str:
    """Write the page.

    Returns:
        The page in Markdown.
    """
    return f"{_HEAD}\n{settings_tables()}\n"
