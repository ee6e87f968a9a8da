"""Settings from `ATELIER_*`, read once at start, frozen, with every problem listed at once.

Each setting's default, bounds and help are declared here and nowhere else; `docs/settings.md` is tested
against this class. Everything that depends on the home folder follows it unless set by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import Misconfigured
from shared.webhooks.ssrf_guard import networks


def _default_home() -> Path:
    return Path.home() / ".atelier"


def _in_home(pattern: str) -> Any:
    """Make a default that follows the home folder chosen."""
    return lambda values: pattern.format(home=values["home"])


#: As long as anything is kept: beyond it databases leave their calendars, in seconds.
_CENTURY_S = 100 * 365.25 * 86_400


class Settings(BaseSettings):
    """What an operator may set, each as `ATELIER_` and the name in capitals.

    A field that may hold a password has `repr=False`: neither errors nor logs repeat its value.
    """

    model_config = SettingsConfigDict(env_prefix="ATELIER_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=_default_home, description="Data folder of the embedded stack.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8765, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    database_url: str = Field(
        default_factory=_in_home("sqlite:///{home}/atelier.db"),
        repr=False,
        description="SQLAlchemy URL of the database.",
    )
    redis_url: str = Field(
        default_factory=_in_home("unix://{home}/redis.sock"),
        repr=False,
        description="Redis: `redis://`, `rediss://` or `unix://`.",
    )
    storage_url: str = Field(
        default_factory=_in_home("{home}/storage"), description="Where image bytes live: a folder or `file://`."
    )
    weights: str = Field(
        "auto", description="VGG19 weights: `auto`, `imagenet`, `imagenet-8bit`, `patch` or the path of a file."
    )
    weights_dir: Path = Field(
        default_factory=lambda values: Path(values["home"]) / "weights", description="Cache of VGG19 weights."
    )
    weights_mirror: str = Field(
        "",
        repr=False,
        description="Address of a folder with files of weights, asked before their publishers; by default none.",
    )
    engine: Literal["vgg19", "null"] = Field("vgg19", description="What paints; `null` draws nothing, for trials.")
    null_step_s: float = Field(0.05, ge=0, description="Time of a step of the `null` engine, in seconds.")
    memory_limit_bytes: int = Field(
        0, ge=0, description="Most memory that a painting process may take; 0 is what is free."
    )
    max_upload_bytes: int = Field(64 * 2**20, ge=1, description="Largest upload, in bytes.")
    max_upload_px: int = Field(50_000_000, ge=1, description="Largest image, in pixels.")
    max_batch_items: int = Field(100_000, ge=1, description="Most items of a batch.")
    max_batch_bytes: int = Field(
        4 * 2**30, ge=1, description="Most bytes of one request that brings items, also once unpacked."
    )
    import_roots: str = Field(
        "", description="Folders that batches may import pictures from, separated as in `PATH`; by default none."
    )
    preview_px: int = Field(512, ge=16, le=2048, description="Long side of a preview, in pixels.")
    preview_interval_s: float = Field(1.0, ge=0, description="Least time between two previews of a job, in seconds.")
    messages_per_worker: int = Field(2, ge=1, description="Messages that may wait in the broker for each worker.")
    redispatch_after_s: float = Field(
        10.0, gt=0, description="When a sent but unclaimed job may be sent again, in seconds."
    )
    worker_name: str = Field(
        "", pattern=r"^[A-Za-z0-9_.-]{0,200}$", description="Name of a painting worker; by default host and process."
    )
    lease_s: float = Field(20.0, ge=2, description="How long a claim holds unless renewed, in seconds.")
    checkpoint_s: float = Field(15.0, ge=0, description="Least time between two checkpoints of a job, in seconds.")
    time_limit_s: float = Field(
        21_600.0, gt=0, description="Longest time a job may run, all attempts together, in seconds."
    )
    stall_s: float = Field(300.0, gt=0, description="When a job without a further step has hung, in seconds.")
    starve_s: float = Field(
        20.0, gt=0, description="When an idle worker that leaves waiting messages alone replaces itself, in seconds."
    )
    retention_s: float = Field(
        30 * 86_400.0,
        gt=0,
        le=_CENTURY_S,
        description="How long an ended job's files stay at most, and an image unused, in seconds.",
    )
    history_s: float = Field(
        180 * 86_400.0, gt=0, le=_CENTURY_S, description="When ended jobs without files are forgotten, in seconds."
    )
    orphan_age_s: float = Field(3600.0, ge=0, description="Age from which a file without a row is removed, in seconds.")
    orphan_sweep_s: float = Field(600.0, gt=0, description="Time between two searches for such files, in seconds.")
    stream_limit: int = Field(512, ge=1, description="Most event streams and long polls at once in one API process.")
    stream_life_s: float = Field(600.0, gt=0, description="When an event stream asks to be reopened, in seconds.")
    api_processes: int = Field(1, ge=1, le=64, description="Processes of the API on one address.")
    api_threads: int = Field(
        32, ge=1, description="Threads of one API process for all other requests; each stream has one besides."
    )
    requests_per_min: int = Field(
        0, ge=0, description="Requests a minute for keys that have no limit of their own; 0 is no limit."
    )
    read_only: bool = Field(False, description="Whether the dashboard shows all and changes nothing.")
    webhook_networks: str = Field(
        "", description="Networks that webhooks may reach though they are not public, as `10.0.0.0/8,192.0.2.7/32`."
    )
    log_format: Literal["auto", "json", "text"] = Field("auto", description="`auto` writes text to a terminal only.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")

    @field_validator("weights_mirror")
    @classmethod
    def _is_plain(cls, address: str) -> str:
        # without a password, since logs and errors repeat it
        if address and (not address.startswith(("http://", "https://", "file:///")) or "@" in address):
            raise ValueError(
                "must be an address that begins with https://, http:// or file:///, without name and password"
            )
        return address

    @field_validator("webhook_networks")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks(text)
        return text

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment; raise `Misconfigured` that lists every problem."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise Misconfigured(
                "\n  ".join(["Settings that cannot be used:", *map(_problem, error.errors())])
            ) from None


def _problem(error: Any) -> str:
    """Say what is wrong with a setting, and what its value is unless that may hold a password."""
    name = str(error["loc"][0])
    got = f" (got {error['input']!r})" if Settings.model_fields[name].repr else ""
    return f"ATELIER_{name.upper()}: {error['msg']}{got}"
