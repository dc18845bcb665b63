"""Services that give the record of a user in parts, and settings that lead to them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.settings.models import DEFAULT_SOURCES, Settings
from tests.fakes import (
    Behaviour,
    FakeBilling,
    FakeService,
    calm_source,
    json_response,
    settings_for_fakes,
)

COLUMNS = {
    "/subscriptions": ("userId", "plan", "status", "renewsAt"),
    "/balances": ("userId", "balance"),
}
"""What each endpoint of billing has of a row."""

SUBSCRIPTION: Mapping[str, Any] = {
    "request": {"form": "repeat", "path": "/subscriptions", "parameter": "userId"},
    "fields": {"plan": "plan", "status": "status", "renewsAt": "renewsAt"},
}
BALANCE: Mapping[str, Any] = {
    "request": {"form": "repeat", "path": "/balances", "parameter": "userId"},
    "fields": {"balance": "balance"},
}
ENDPOINTS: Mapping[str, Any] = {"subscription": SUBSCRIPTION, "balance": BALANCE}
"""The settings of them."""


@dataclass
class DividedBilling(FakeBilling):
    """Billing, which takes two calls for one row.

    Attributes:
        failing: What an endpoint does instead of answering, by its path.
        unknown: Whom an endpoint does not know, though billing does, by its path.
        asked: The users of each call, by path.
    """

    failing: dict[str, Behaviour] = field(default_factory=dict[str, Behaviour])
    unknown: dict[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    asked: dict[str, list[list[str]]] = field(default_factory=dict[str, list[list[str]]])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for many users, or for a page of invoices."""
        path = request.url.path
        if path == "/invoices":
            return super().answer(request)
        columns = COLUMNS[path]
        keys = request.url.params.get_list("userId")
        self.batches.append(keys)
        self.asked.setdefault(path, []).append(keys)
        behaviour = self.failing.get(path, self.behaviour)
        if behaviour is not None:
            return behaviour(request)
        rows = [self.rows[key] for key in reversed(keys) if key in self.rows]
        unknown = self.unknown.get(path, ())
        return json_response(
            [{name: row[name] for name in columns} for row in rows if row["userId"] not in unknown]
        )


def settings_with(sources: Mapping[str, Mapping[str, Any]], **changes: object) -> Settings:
    """Make settings that lead to the fakes, with some of their sources' own."""
    made = settings_for_fakes(**changes)
    changed = {
        name: calm_source(base_url=f"http://{name}", **sources.get(name, {}))
        for name in DEFAULT_SOURCES
    }
    return made.model_copy(update={"sources": changed})


def divided(**changes: object) -> Settings:
    """Make settings by which billing has two endpoints."""
    return settings_with({"billing": {"endpoints": ENDPOINTS}}, **changes)


PROFILE: Mapping[str, Any] = {
    "request": {
        "form": "list",
        "path": "/people",
        "parameter": "ids",
        "select": {"parameter": "fields"},
    },
    "answer": {"rows": ["people"]},
    "fields": {
        "username": "login",
        "displayName": "name.display || login",
        "email": "mail",
        "avatarUrl": "picture",
        "locale": "lang",
        "createdAt": "created",
    },
}
ACTIVITY: Mapping[str, Any] = {
    "request": {
        "form": "repeat",
        "path": "/summaries",
        "parameter": "userId",
        "select": {"parameter": "only", "separator": "|", "wrap": "row({fields})"},
    }
}


def person(row: Mapping[str, object]) -> Mapping[str, object]:
    """Write a row of profile in words of another service."""
    return {
        "id": row["id"],
        "login": row["username"],
        "name": {"display": row["displayName"], "first": "never read"},
        "mail": row["email"],
        "picture": row["avatarUrl"],
        "lang": row["locale"],
        "created": row["createdAt"],
        "secret": "never asked for",
        "keys": row.get("keys"),  # of other sources, where rows have some
    }


@dataclass
class SelectingProfile(FakeService):
    """Profile of another shape, which sends no more than it is asked for.

    Attributes:
        asked: The fields of each call, in the order of the calls.
        customers: Keys of another source, by user.
    """

    asked: list[list[str]] = field(default_factory=list[list[str]])
    customers: Mapping[str, str] = field(default_factory=dict[str, str])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for many users."""
        assert request.url.path == "/people"
        keys = request.url.params["ids"].split(",")
        names = request.url.params["fields"].split(",")
        self.batches.append(keys)
        self.asked.append(names)
        if self.behaviour is not None:
            return self.behaviour(request)
        rows = [
            {**person(self.rows[key]), "customer": {"id": self.customers.get(key)}}
            for key in keys
            if key in self.rows
        ]
        return json_response({"people": [{name: row[name] for name in names} for row in rows]})


@dataclass
class SelectingActivity(FakeService):
    """Activity by the contract, but that it sends no more than it is asked for.

    Attributes:
        asked: The fields of each call, in the order of the calls.
    """

    asked: list[list[str]] = field(default_factory=list[list[str]])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request for many users."""
        assert request.url.path == "/summaries"
        keys = request.url.params.get_list("userId")
        names = request.url.params["only"].removeprefix("row(").removesuffix(")").split("|")
        self.batches.append(keys)
        self.asked.append(names)
        if self.behaviour is not None:
            return self.behaviour(request)
        rows = [self.rows[key] for key in keys if key in self.rows]
        return json_response([{name: row[name] for name in names} for row in rows])


def selecting(**changes: object) -> Settings:
    """Make settings by which profile and activity are asked for what is wanted alone."""
    return settings_with({"profile": PROFILE, "activity": ACTIVITY}, **changes)


def in_parts(**changes: object) -> Settings:
    """Make settings by which no source is asked for its whole record."""
    billing = {"endpoints": ENDPOINTS}
    return settings_with({"profile": PROFILE, "billing": billing, "activity": ACTIVITY}, **changes)
