"""The clients of the guide's table: each sends a document, and prints its result."""

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
    """An error in the result of a client."""

    message: str = Field(description="Its message.")
    path: str = Field(description="Its path, with dots.")
    code: str | None = Field(description="Its code, if it is one of the gateway.")
    paths: list[str] = Field(description="The paths of a grouped error, with dots.")


class SentRequest(BaseModel):
    """A request that a client sent, and the head of its response."""

    method: str = Field(description="Its method.")
    document: bool = Field(description="Whether it has the text of a document.")
    status: int = Field(description="The status of the response.")
    etag: str | None = Field(description="The `ETag` of the response.")


class ClientResult(BaseModel):
    """The result of a client."""

    data: Any = Field(description="The data that it gives to a page.")
    errors: list[ShownError] = Field(description="The errors that it gives to a page.")
    sent: list[SentRequest] = Field(description="The requests that it sent.")


@dataclass(frozen=True)
class Options:
    """The options of a request by a client.

    Attributes:
        variables: The variables of the operation.
        grouped: Whether the client requests one error for each source.
        hashed: Whether the client sends the hash of the document, and not the document.
        get: Whether the client sends GET.
        after: Whether the client requests a second page of invoices.
        again: Whether the client repeats the request with `If-None-Match`.
        error_policy: The error policy of Apollo Client.
        token: The token of the caller, if there is one.
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
class ClientProgram(ABC):
    """A client of the gateway over the fakes.

    Attributes:
        node: The programs of Node.
        services: The services.
        folder: An empty folder.
        settings: The settings of the gateway.
        callers: The callers whose tokens the gateway knows; without them, it needs no tokens.
    """

    node: NodePrograms
    services: FakeServices
    folder: Path
    settings: Settings = field(default_factory=settings_for_fakes)
    callers: DemoCallers | None = None

    async def send(self, document: str, options: Options) -> ClientResult:
        """Send a document, and read the result that the client prints.

        Args:
            document: The document.
            options: The options of the request.

        Returns:
            The result.
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
        """Make the arguments of the client's program; the first one is its name."""

    def written(self, document: str, options: Options) -> str:
        """Write the options for the program, and the manifest that codegen would write."""
        digest = f"sha256:{hashlib.sha256(document.encode()).hexdigest()}"
        self.manifest.write_text(json.dumps({digest: document}), encoding="utf-8")
        policy = {"errorPolicy": options.error_policy}
        named = {"hash": digest} if options.hashed else {}
        return json.dumps({**asdict(options), **policy, **named})


class ApolloClient(ClientProgram):
    """Apollo Client 4."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program; the first one is its name."""
        return ("apollo.mjs", document, self.written(document, options))


class Urql(ClientProgram):
    """urql 6."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program; the first one is its name."""
        preflight = {"fetchOptions": {"headers": {"GraphQL-Require-Preflight": "1"}}}
        post = {"preferGetMethod": False}
        ours = json.dumps(preflight if options.get else post)
        return ("urql.mjs", document, ours, self.written(document, options))


class Fetch(ClientProgram):
    """Plain `fetch`."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program; the first one is its name."""
        return ("fetch.mjs", document, self.written(document, options))


class Relay(ClientProgram):
    """Relay 21; its compiler writes the manifest."""

    def arguments(self, document: str, options: Options) -> Sequence[str]:
        """Make the arguments of the client's program; the first one is its name."""
        written = self.written(document, options)
        page = f'import {{ graphql }} from "relay-runtime";\n\ngraphql`{document}`;\n'
        artifacts, complaint = compiled(
            self.node, self.folder, self.settings, page=page, persisted=options.hashed
        )
        assert not complaint
        return ("relay_page.mjs", str(artifacts / "PageQuery.graphql.js"), written)
