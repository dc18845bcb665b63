"""The command that lists the codes of errors, as a page for people or as TypeScript."""

import click

from app.errors import MEANINGS, Code, CodeMeaning

_WORDS = {
    "field": "a field: the answer has data",
    "request": "the request: there is no data",
    "field or request": "a field, or the request",
}


@click.command()
@click.option("--typescript", is_flag=True, help="Print them as TypeScript, for clients.")
def errors(*, typescript: bool) -> None:
    """List the codes of errors, as in docs/reference/errors.md."""
    click.echo(typescript_of_codes() if typescript else table_of_codes(), nl=False)


def table_of_codes() -> str:
    """Write the page about the codes.

    Returns:
        The whole page, in Markdown.
    """
    rows = [
        f"| `{code}` | {_WORDS[one.about]} | {one.meaning} | {'yes' if one.again else 'no'} |"
        f" {', '.join(f'`{name}`' for name in one.members)} |"
        for code, one in _meanings()
    ]
    return "\n".join([_HEAD, *rows, _FOOT])


_HEAD = """\
# Codes of errors

Each error has one of these codes in `extensions.code`. `user-gateway errors` writes this page, and
`user-gateway errors --typescript` writes [`error-codes.ts`](../clients/error-codes.ts). A new code
is a minor version: clients should treat an unknown one as a failure of its field or request.

| Code | It is about | Meaning | Again later? | Further members |
| --- | --- | --- | --- | --- |"""

_FOOT = """
`source` is the name of the source that failed. Grouped errors also have `paths`
([how to ask for them](../guides/frontend.md#one-error-for-each-source)).
"""


def typescript_of_codes() -> str:
    """Write the codes as TypeScript.

    Returns:
        The whole file. It has no imports, so that it can be copied into any project.
    """
    lines = [
        "// The codes in `extensions.code` of errors. Written by: user-gateway errors --typescript",
        "",
        "export const errorCodes = [",
        *(line for code, one in _meanings() for line in (f"  // {one.meaning}", f'  "{code}",')),
        "] as const;",
        "",
        "export type ErrorCode = (typeof errorCodes)[number];",
        "",
        "// Those after which the same request may succeed later.",
        "export const retryableCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([",
        *(f'  "{code}",' for code, one in _meanings() if one.again),
        "]);",
        "",
        "// `extensions` of an error.",
        "export interface ErrorExtensions {",
        "  code: ErrorCode;",
        "  // The source that failed.",
        "  source?: string;",
        "  // The failed fields of a grouped error, with `*` in the place of numbers.",
        "  paths?: { path: string[]; count: number }[];",
        "  // The limit that was exceeded, and its value.",
        "  limit?: string;",
        "  allowed?: number;",
        "  // Leads to the log of the gateway.",
        "  requestId?: string;",
        "}",
        "",
        "export function isErrorCode(value: unknown): value is ErrorCode {",
        "  return (errorCodes as readonly unknown[]).includes(value);",
        "}",
        "",
    ]
    return "\n".join(lines)


def _meanings() -> list[tuple[Code, CodeMeaning]]:
    """List the codes with their meanings, in the order of their declaration."""
    return [(code, MEANINGS[code]) for code in Code]
