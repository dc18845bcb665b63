"""The clients of the guide's table: each asks the gateway, and prints what it makes of it."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from app.cli.demo_callers import DemoCallers
from app.server.graphiql.build import NodePrograms
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.clients.conftest import FOLDER, at_address
from tests.clients.relay_compiler import compiled
from tests.fakes import FakeServices, settings_for_fakes
from tests.npm import running


class ShownError(BaseModel):
    """An error, as a client shows it."""

    message: str = Field(description="Its message.")
    path: str = Field(description="Its path, with dots.")
    code: str | None = Field(description="Its code, if it is one of the gateway.")
    paths: list[str] = Field(description="The paths of a grouped error, with dots.")


class SentRequest(BaseModel):
    """A request that a client sent, and the head of its answer."""

    method: str = Field(description="Its method.")
    document: bool = Field(description="Whether it has the text of a document.")
    status: int = Field(description="The status of the answer.")
    etag: str | None = Field(description="The `ETag` of the answer.")


class ClientResult(BaseModel):
    """What a client makes of an answer."""

    data: Any = Field(description="The data that it gives to a page.")
    errors: list[ShownError] = Field(description="The errors that it gives to a page.")
    sent: list[SentRequest] = Field(description="What it sent.")


@dataclass(frozen=True)
class Options:
    """How a client asks.

    Attributes:
        variables: Of the operation.
        grouped: Whether it asks for one error of each source.
        hashed: Whether it sends the hash of the document, and not the document.
        get: Whether it sends GET.
        after: Whether it asks for a second page of invoices.
        again: Whether it asks again for what it has (`If-None-Match`).
        error_policy: Apollo Client's.
        token: The caller's, if it has one.
    """

    variables: Mapping[str, Any]
    grouped: bool = False
    hashed: bool = False
    get: bool = False
    after: bool = False
    again: bool = False
    error_policy: str = "all"
    token: str | None = None


@dataclass(frozen=True)
class Asking(ABC):
    """A client that asks the gateway over the fakes.

    Attributes:
        node: How to call Node.
        services: The services.
        folder: An empty folder.
        settings: Those of the gateway.
        callers: Whose tokens the gateway knows; without them, everybody may ask.
    """

    node: NodePrograms
    services: FakeServices
    folder: Path
    settings: Settings = field(default_factory=settings_for_fakes)
    callers: DemoCallers | None = None

    async def ask(self, document: str, options: Options) -> ClientResult:
        """Ask, and read what the client prints.

        Args:
            document: The document.
            options: How the client asks.

        Returns:
            What it makes of the answer.
        """
        arguments = self.arguments(document, options)
        settings = self.settings
        if options.hashed:
            trusted = {"path": str(self.manifest), "mode": "only"}
            settings = Settings.model_validate({**settings_in(settings), "trusted": trusted})
        async with (
            at_address(self.services, settings, self.callers) as address,
            running(self.node, FOLDER, arguments[0], address.url, *arguments[1:]) as line,
        ):
            return ClientResult.model_validate_json(line)

    @property
    def manifest(self) -> Path:
        """The documents by their hash."""
        return self.folder / "persisted.json"

    @abstractmethod
    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program, whose first one is its name."""

    def written(self, document: str, options: Options) -> str:
        """Write the options for the program, and the manifest that codegen would write."""
        digest = f"sha256:{hashlib.sha256(document.encode()).hexdigest()}"
        self.manifest.write_text(json.dumps({digest: document}), encoding="utf-8")
        policy = {"errorPolicy": options.error_policy}
        named = {"hash": digest} if options.hashed else {}
        return json.dumps({**asdict(options), **policy, **named})


class ApolloClient(Asking):
    """Apollo Client 4."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program, whose first one is its name."""
        return ("apollo.mjs", document, self.written(document, options))


class Urql(Asking):
    """urql 6."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program, whose first one is its name."""
        preflight = {"fetchOptions": {"headers": {"GraphQL-Require-Preflight": "1"}}}
        post = {"preferGetMethod": False}
        ours = json.dumps(preflight if options.get else post)
        return ("urql.mjs", document, ours, self.written(document, options))


class Fetch(Asking):
    """Plain `fetch`."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program, whose first one is its name."""
        return ("fetch.mjs", document, self.written(document, options))


class Relay(Asking):
    """Relay 21; its compiler writes the manifest."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program, whose first one is its name."""
        written = self.written(document, options)
        page = f'import {{ graphql }} from "relay-runtime";\n\ngraphql`{document}`;\n'
        artifacts, complaint = compiled(
            self.node, self.folder, self.settings, page=page, persisted=options.hashed
        )
        assert not complaint
        return ("relay_page.mjs", str(artifacts / "PageQuery.graphql.js"), written)
