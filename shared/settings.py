"""Settings from the environment, `ATELIER_*`: read once at start and immutable.

Each setting's default, bounds and description are declared here; `docs/settings.md` is tested against them. Defaults
that lie in the home folder follow it.
"""

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import setting_mistakes
from shared.addresses import Network, PublicUrl, is_loopback, networks, parse_origin
from shared.errors import Misconfigured
from shared.imaging.decoders.limits import Limits
from shared.painting.params import WEIGHTS_NAMES


def _in_home(pattern: str) -> Any:
    """Return a default factory that inserts the home folder."""
    return lambda values: pattern.format(home=values["home"])


def _default_requests_per_min(values: dict[str, Any]) -> int:
    """Limit nobody on a machine that serves only itself; elsewhere, allow what no honest program needs."""
    return 0 if is_loopback(values["host"]) and not values["public_url"] else 6000


#: Longest time anything is kept, in seconds; the databases' dates end not far beyond.
_CENTURY_S = 100 * 365.25 * 86_400


class Settings(BaseSettings):
    """What an operator can set, each as `ATELIER_` plus the name in upper case.

    A field that may hold a password has `repr=False`, so that error messages omit its value.
    """

    model_config = SettingsConfigDict(env_prefix="ATELIER_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(
        default_factory=lambda: Path.home() / ".atelier", description="Data folder of the embedded stack."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8765, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    public_url: str = Field(
        "", description="Address at which users reach the API behind a proxy, such as `https://example.org/atelier`."
    )
    trusted_proxies: str = Field(
        "",
        description="Networks of proxies whose `X-Forwarded-…` headers are believed, such as `127.0.0.1,10.0.0.0/8`.",
    )
    cors_origins: str = Field(
        "",
        description="Origins of other sites whose scripts may call the API, such as `https://app.example.org`.",
    )
    database_url: str = Field(
        default_factory=_in_home("sqlite:///{home}/atelier.db"),
        repr=False,
        description="SQLAlchemy URL of the database.",
    )
    redis_url: str = Field(
        default_factory=_in_home("unix://{home}/redis.sock"),
        repr=False,
        description="URL of Redis: `redis://`, `rediss://` or `unix://`.",
    )
    storage_url: str = Field(
        default_factory=_in_home("{home}/storage"), description="Storage of image files: a folder or a `file://` URL."
    )
    weights: str = Field(
        "auto", description="VGG19 weights: `auto`, `imagenet`, `imagenet-8bit`, `patch` or the path of a file."
    )
    weights_dir: Path = Field(
        default_factory=lambda values: Path(values["home"]) / "weights", description="Cache folder of VGG19 weights."
    )
    weights_mirror: str = Field(
        "",
        repr=False,
        description="URL of a folder with weight files, tried before the publishers' own.",
    )
    engine: Literal["vgg19", "null"] = Field(
        "vgg19", description="The painting engine; `null` only simulates it, for testing."
    )
    null_step_s: float = Field(0.05, ge=0, description="Duration of a step of the `null` engine, in seconds.")
    memory_limit_bytes: int = Field(
        0, ge=0, description="Memory limit of a painting process, in bytes; 0 uses what is free."
    )
    child_growth_bytes: int = Field(
        256 * 2**20,
        ge=0,
        description="Growth at which a new painting process replaces one between two jobs, in bytes; 0 means never.",
    )
    max_upload_bytes: int = Field(64 * 2**20, ge=1, description="Largest upload, in bytes.")
    max_upload_px: int = Field(50_000_000, ge=1, description="Largest image, in pixels.")
    decoders: int = Field(
        3,
        ge=1,
        le=64,
        description="Processes per API process and worker that decode images at once, besides one for large images; "
        "one owner may use all but one.",
    )
    decode_s: float = Field(
        20.0,
        gt=0,
        description="Processor time for decoding the largest image, in seconds; smaller ones get less.",
    )
    decode_memory_bytes: int = Field(
        0, ge=0, description="Memory limit of a decoding process, in bytes; 0 allows what the image's pixels may take."
    )
    max_batch_items: int = Field(100_000, ge=1, description="Maximum number of items in a batch.")
    max_batch_bytes: int = Field(
        4 * 2**30, ge=1, description="Largest request that adds items to a batch, before and after unpacking, in bytes."
    )
    import_roots: str = Field("", description="Folders that batches may import images from, separated as in `PATH`.")
    preview_px: int = Field(512, ge=16, le=2048, description="Longer side of a preview, in pixels.")
    preview_interval_s: float = Field(1.0, ge=0, description="Minimum time between two previews of a job, in seconds.")
    messages_per_worker: int = Field(2, ge=1, description="Messages that may wait in the broker per worker.")
    redispatch_after_s: float = Field(
        10.0, gt=0, description="Time after which a job that was sent but not claimed may be sent again, in seconds."
    )
    worker_name: str = Field("", description="Name of a worker; host name and process id by default.")
    lease_s: float = Field(
        20.0, ge=2, description="Time after which a worker loses a job unless it renews its claim, in seconds."
    )
    checkpoint_s: float = Field(15.0, ge=0, description="Minimum time between two checkpoints of a job, in seconds.")
    time_limit_s: float = Field(
        21_600.0, gt=0, description="Maximum running time of a job over all attempts, in seconds."
    )
    stall_s: float = Field(300.0, gt=0, description="Time without a step after which a job counts as hung, in seconds.")
    starve_s: float = Field(
        20.0, gt=0, description="Time after which an idle worker that ignores waiting messages restarts, in seconds."
    )
    retention_s: float = Field(
        30 * 86_400.0,
        gt=0,
        le=_CENTURY_S,
        description="Maximum time that files of ended jobs and unused images are kept, in seconds.",
    )
    history_s: float = Field(
        180 * 86_400.0,
        gt=0,
        le=_CENTURY_S,
        description="Time after which ended jobs without files are deleted, in seconds.",
    )
    orphan_age_s: float = Field(
        3600.0, ge=0, description="Minimum age of a file without a database row before it is removed, in seconds."
    )
    orphan_sweep_s: float = Field(
        600.0, gt=0, description="Time between two searches for files without a database row, in seconds."
    )
    stream_limit: int = Field(
        1024,
        ge=1,
        description="Maximum number of open event streams and long polls per API process; "
        "one owner may have as many as it leaves free.",
    )
    stream_life_s: float = Field(
        600.0, gt=0, description="Time after which an event stream closes and clients reconnect, in seconds."
    )
    api_processes: int = Field(1, ge=1, le=64, description="Number of API processes, all on one address.")
    api_threads: int = Field(
        32, ge=1, description="Threads per API process for requests; each event stream has one of its own."
    )
    head_s: float = Field(10.0, gt=0, description="Time for the whole head of a request to arrive, in seconds.")
    client_stall_s: float = Field(
        20.0,
        gt=0,
        description="Time that a client may stall while it sends a body or takes an answer, in seconds; "
        "so does one that moves less than 1 KiB a second.",
    )
    requests_per_min: int = Field(
        default_factory=_default_requests_per_min,
        ge=0,
        description="Requests per minute for keys without a limit of their own; 0 means no limit. "
        "The default is 6000 where the API can be reached from elsewhere: by `ATELIER_HOST` or `ATELIER_PUBLIC_URL`.",
    )
    sign_ins_per_min: int = Field(
        30, ge=0, description="Attempts to sign in to the dashboard per minute and address; 0 means no limit."
    )
    stored_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of uploads and results that the owner of a key without a limit of its own may store; "
        "0 means no limit.",
    )
    read_only: bool = Field(False, description="Whether the dashboard is read-only.")
    webhook_networks: str = Field(
        "", description="Non-public networks that webhooks may reach, such as `10.0.0.0/8,192.0.2.7/32`."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of logs; `auto` writes text to a terminal and JSON elsewhere."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum level of logged events."
    )

    @field_validator("weights_mirror")
    @classmethod
    def _is_plain(cls, address: str) -> str:
        # no password, since logs and errors show the address
        if address and (not address.startswith(("http://", "https://", "file:///")) or "@" in address):
            raise ValueError(
                "must be an address that begins with https://, http:// or file:///, without user name and password"
            )
        return address

    @field_validator("public_url")
    @classmethod
    def _is_public_url(cls, text: str) -> str:
        return str(PublicUrl.parse(text)) if text else ""

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, address: str) -> str:
        if not re.match(r"(sqlite|postgresql)(\+\w+)?:", address):
            raise ValueError("must be an address that begins with postgresql:// or sqlite:///")
        return address

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, address: str) -> str:
        if not address.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be an address that begins with redis://, rediss:// or unix://")
        return address

    @field_validator("worker_name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{0,200}", name):
            raise ValueError("must be up to 200 letters, digits, dots, hyphens and underscores")
        return name

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        return ",".join(parse_origin(part.strip()) for part in text.split(",") if part.strip())

    @field_validator("webhook_networks", "trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        try:
            networks(text)
        except ValueError:
            raise ValueError("must be networks, separated by commas, such as 10.0.0.0/8,192.0.2.7/32") from None
        return text

    @property
    def public(self) -> PublicUrl | None:
        """Where users reach the API, if that was said."""
        return PublicUrl.parse(self.public_url) if self.public_url else None

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the trusted proxies."""
        return networks(self.trusted_proxies)

    @property
    def origins(self) -> frozenset[str]:
        """The origins whose scripts may call the API."""
        return frozenset(filter(None, self.cors_origins.split(",")))

    @property
    def decoding(self) -> Limits:
        """What decoding a foreign image may take."""
        return Limits(**self.model_dump(include={field.name for field in fields(Limits)}))

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment; raise `Misconfigured`, which lists every mistake, one to a line."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise Misconfigured("\n".join(setting_mistakes.describe(error, cls.model_fields))) from None

    def ensure_weights(self, *, here: bool = True) -> None:
        """Raise `Misconfigured` unless `weights` is a name or an existing file.

        Unless it is to be read `here`, whatever looks like a file's path may be one on the workers' machines.
        """
        if self.weights in WEIGHTS_NAMES or os.path.isfile(os.path.expanduser(self.weights)):  # noqa: PTH111, PTH113 - which never raise
            return
        if not here and re.search(r"[/.]", self.weights):
            return
        names = ", ".join(WEIGHTS_NAMES)
        raise Misconfigured(f"ATELIER_WEIGHTS: must be {names} or the path of an existing file (got {self.weights!r})")
