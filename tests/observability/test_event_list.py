"""The page of log events lists the events of the code; `make reference` writes the rest."""

from tests.docs.generated.log_events import events_of, logging_code
from tests.docs.pages import DOCS

PAGE = DOCS / "operations" / "log-events.md"
BEYOND_CODE = {"log.dropped", "server.message", "telemetry.message"}
"""Events of the page whose names are not literals in the calls that log them."""


def test_the_page_lists_the_events_of_the_code_with_levels_and_keys() -> None:
    on_page, in_code = events_of(PAGE.read_text("utf-8")), logging_code().events

    assert on_page.keys() - BEYOND_CODE == in_code.keys()
    for name, event in in_code.items():
        assert on_page[name].levels == event.levels, name
        assert event.keys <= on_page[name].keys, name
