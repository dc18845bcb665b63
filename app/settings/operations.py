"""Settings for operators: the admin port, and the content of metrics and traces."""

from pydantic import Field

from app.settings.auth import SharedToken
from app.settings.base import Seconds, SettingsModel
from app.settings.listening import HOST


class AdminSettings(SettingsModel):
    """The admin port. Reading needs no token, so only operators should be able to reach it."""

    port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Port for operators, with `/metrics` (Prometheus), `/healthz` and `/readyz`; 0"
        " for any free port. When absent, there is none.",
        examples=[9464],
    )
    host: str = Field(
        default=HOST, min_length=1, description="Address that the admin port listens on."
    )
    token: SharedToken | None = Field(
        default=None,
        description="Token that clients of the admin port send (`Authorization: Bearer`) for what"
        " changes something. When absent, nothing can be changed by that port.",
    )


class TelemetrySettings(SettingsModel):
    """The content of metrics and traces."""

    operation_names: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="How many names of operations metrics show, besides those of trusted documents;"
        " other operations are counted as `other`.",
    )
    documents: bool = Field(
        default=False,
        description="Whether spans have the texts of documents. A document may contain values that"
        " the client has written into it.",
    )


class DrainSettings(SettingsModel):
    """How the gateway ends after SIGTERM."""

    seconds: float | None = Field(
        default=None,
        ge=0,
        le=600,
        allow_inf_nan=False,
        description="Seconds for which requests are still accepted after SIGTERM, while `/readyz`"
        " says 503, so that balancers find other instances. When absent: 5 if other machines can"
        " reach the gateway, and else 0.",
    )


class ReloadSettings(SettingsModel):
    """How settings are read anew while the gateway runs."""

    watch: bool = Field(
        default=False,
        description="Whether the gateway reloads when a file of the settings has changed: the"
        " configuration, secrets, certificates or trusted documents.",
    )
    interval: Seconds = Field(default=1.0, description="Seconds between two looks at these files.")
    check_sources: bool = Field(
        default=False,
        description="Whether new settings of a source are used only if the source can be reached.",
    )
