"""Models of settings with all kinds of values, some of which the gateway's settings do not use."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class Frozen(BaseModel):
    """Base of all models here."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NoAuthModel(Frozen):
    """Access without credentials."""

    kind: Literal["none"] = Field(default="none", description="That there is none.")


class Bearer(Frozen):
    """Access with a token."""

    kind: Literal["bearer"] = Field(description="That it is a token.")
    token: SecretStr = Field(description="The token.")
    realm: str = Field(default="", description="Where it counts.")


class Basic(Frozen):
    """Access with a user and a password."""

    kind: Literal["basic"] = Field(description="That it is a password.")
    user: str = Field(description="Who it is.")
    password: SecretStr = Field(description="The password.")


class Rule(Frozen):
    """The meaning of a status."""

    status: int = Field(ge=100, le=599, description="The status.")
    means: Literal["absent", "retry"] = Field(default="absent", description="Its meaning.")
    token: SecretStr | None = Field(default=None, description="A token of the rule's own.")


class Paging(Frozen):
    """The paging of a service."""

    size: int = Field(gt=0, description="Rows of a page.")
    cursor: str = Field(default="next", description="Where the next begins.")


class Window(Frozen):
    """A limit of rows by time."""

    status: int = Field(ge=100, le=599, description="A status.")
    since: str = Field(default="", description="A time.")


class RequestModel(Frozen):
    """How rows are requested: by a parameter or by a filter."""

    parameter: str | None = Field(default=None, description="A parameter of the URL.")
    filter: str | None = Field(default=None, description="A filter.")

    @model_validator(mode="after")
    def check(self) -> "RequestModel":
        """Refuse both ways together."""
        if self.parameter is not None and self.filter is not None:
            raise ValueError("expected either parameter or filter, got both")
        return self


class ServiceSettings(Frozen):
    """One service."""

    url: str = Field(description="Its address.", examples=["http://users"])
    request: RequestModel = Field(default=RequestModel(), description="How rows are requested.")
    auth: Annotated[NoAuthModel | Bearer | Basic, Field(discriminator="kind")] = Field(
        default=NoAuthModel(), description="How one gets in."
    )
    rules: tuple[Rule, ...] = Field(default=(), description="What statuses mean.")
    fields: dict[str, str] = Field(default={}, description="Expressions, by field.")
    headers: dict[str, str | SecretStr] = Field(default={}, description="Fixed headers.")
    rows: list[str] = Field(default=["items"], description="Where the rows are.")
    paging: Paging | None = Field(default=None, description="How pages go on.")
    limit: int | Literal["none"] = Field(default="none", description="Most rows.")
    plan: Paging | Window | None = Field(default=None, description="One of two tables.")


class ServicesSettings(Frozen):
    """All services, by name."""

    users: ServiceSettings = Field(description="Who they are.")


class TestSettings(Frozen):
    """All settings of these tests."""

    __test__ = False  # a model, and not a class of tests: its name begins with Test

    services: ServicesSettings = Field(description="The services.")
    extra: dict[str, ServiceSettings] = Field(default={}, description="Services by any name.")
    port: int = Field(default=80, description="A number.")
