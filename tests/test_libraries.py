"""Code on private parts of a library is not used with another version of the library."""

import io
from importlib.metadata import version

import orjson
import pytest

from app.errors import LibraryError
from app.libraries import Requirement
from app.main import create_app, protocol_of, usable
from app.observability.logs import make_log
from app.settings.fastpath import FastpathSettings
from app.settings.store import StoreSettings
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id


class Owner:
    """A class of a library."""

    __slots__ = ("_slot",)

    def __init__(self) -> None:
        self._slot = 1

    def _method(self) -> None:
        """Do nothing."""


def requirement(*parts: str) -> Requirement:
    """Make a requirement of some parts."""
    return Requirement("wire", package="library", minor="3.14", parts={Owner: parts})


@pytest.mark.parametrize("version", ["3.14", "3.14.0", "3.14.99"])
def test_a_requirement_is_met_by_the_version_and_all_parts(version: str) -> None:
    assert requirement("_slot", "_method").missing(lambda _: version) is None


@pytest.mark.parametrize("version", ["3.13.9", "3.15.0", "4.14", "3.140"])
def test_a_requirement_is_not_met_by_another_minor_version(version: str) -> None:
    found = requirement().missing(lambda _: version)

    assert found == f"written for library 3.14, found {version}"


def test_a_requirement_is_not_met_if_a_part_is_missing() -> None:
    assert requirement("_slot", "_gone").missing(lambda _: "3.14.5") == "Owner has no _gone"


def test_the_parts_of_each_class_are_checked() -> None:
    needed = Requirement("wire", package="library", minor="3.14", parts={str: (), Owner: ("gone",)})

    assert needed.missing(lambda _: "3.14") == "Owner has no gone"


def test_all_fast_paths_are_used_with_the_locked_versions() -> None:
    settings = settings_for_fakes()

    assert usable(settings) == (settings, {})


def test_only_the_fast_paths_of_another_version_are_switched_off() -> None:
    settings, missing = usable(settings_for_fakes(), lambda _: "9.9")

    assert missing == {
        "responses": "written for uvicorn 0.54, found 9.9",
        "wire": "written for aiohttp 3.14, found 9.9",
    }
    on = {name: settings.fastpath.uses(name) for name in FastpathSettings.model_fields}
    assert on == {
        "enabled": True,
        "compiled": True,
        "kept_users": True,
        "rows": True,
        "expressions": True,
        "wire": False,
        "store": True,
        "responses": False,
        "route": True,
    }


def test_the_version_of_redis_is_checked_if_a_store_is_configured() -> None:
    store = StoreSettings(url="redis://127.0.0.1:1")
    settings, missing = usable(
        settings_for_fakes().model_copy(update={"store": store}),
        lambda package: "9.9" if package == "redis" else version(package),
    )

    assert missing == {"store": "written for redis 8.1, found 9.9"}
    assert not settings.fastpath.uses("store")


def test_the_protocol_of_connections_refuses_another_uvicorn_version() -> None:
    settings = settings_for_fakes(fastpath=FastpathSettings(enabled=False))

    with pytest.raises(LibraryError) as refused:
        protocol_of(settings, lambda _: "0.55.1")

    assert str(refused.value) == (
        "the code that handles connections does not fit uvicorn (written for uvicorn 0.54, found"
        " 0.55.1): expected the versions that requirements/runtime.txt lists"
    )


def test_versions_are_not_checked_if_fast_paths_are_switched_off() -> None:
    off = settings_for_fakes(fastpath=FastpathSettings(enabled=False))

    assert usable(off, lambda _: "9.9") == (off, {})


def test_each_unavailable_fast_path_is_logged_once() -> None:
    settings, stream = settings_for_fakes(), io.StringIO()

    create_app(settings, make_log(settings.log, stream=stream), version_of=lambda _: "9.9")

    events = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["event"], one["fastpath"]) for one in events] == [
        ("fastpath.unavailable", "responses"),
        ("fastpath.unavailable", "wire"),
    ]


@pytest.mark.parametrize("name", FastpathSettings.model_fields)
async def test_each_fast_path_can_be_switched_off_alone(
    name: str, open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(fastpath=FastpathSettings.model_validate({name: False}))

    async with open_gateway(settings) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.body == {"data": {"user": {"username": "user1", "plan": "pro"}}}
