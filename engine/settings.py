"""Settings as data: name, default, unit and help; defaults < venuescope.toml < VENUESCOPE_* < flags."""

from __future__ import annotations

import os
import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from engine.errors import BadSetting
from engine.storage.names import USUAL, WHAT

SETTINGS_FILE = Path("venuescope.toml")
RATE_MAX = 1_000_000


def _cache_directory() -> Path:
    return Path(platformdirs.user_cache_dir("venuescope", appauthor=False))


def _data_directory() -> Path:
    return Path(platformdirs.user_data_dir("venuescope", appauthor=False))


def _config_directory() -> Path:
    folder = Path(platformdirs.user_config_dir("venuescope", appauthor=False))
    # macOS and Windows have one folder for both; what opens the keys must not lie beside them.
    return folder.with_name("venuescope-config") if folder == _data_directory() else folder


class Settings(BaseSettings):
    """Every setting. The names are those of the file; `VENUESCOPE_PORT` sets `port`."""

    model_config = SettingsConfigDict(env_prefix="VENUESCOPE_", extra="forbid", frozen=True)

    host: str = Field(
        "127.0.0.1",
        description="address the dashboard and the market-data API bind; any but loopback demands a login",
    )
    port: int = Field(8050, ge=1, le=65_535, description="port of the dashboard")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="further names accepted in Host and Origin headers, comma-separated"
    )
    rate: int = Field(5_000, ge=0, le=RATE_MAX, description="orders a second the simulator starts with")
    seed: int = Field(20_240_808, ge=0, le=2**32 - 1, description="seed of the simulated order flow")
    history_s: int = Field(
        900,
        ge=0,
        le=3_600,
        description="seconds of market simulated before start, so that charts have a past",
    )
    cache_dir: Path = Field(
        default_factory=_cache_directory, description="folder for compiled kernels and sample captures"
    )
    data_dir: Path = Field(
        default_factory=_data_directory,
        description="folder for what is kept: the exchange's command log, its API keys",
    )
    command_log: Literal["off", "async", "sync"] = Field(
        "off", description="whether the built-in exchange outlives the program"
    )
    venues: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="live markets connected at start, comma-separated"
    )
    symbols: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="symbols followed at start, by market; several otherwise"
    )
    polls: dict[str, dict[str, Annotated[int, Field(ge=0, le=86_400)]]] = Field(
        default_factory=dict, description="seconds between REST fetches, by market and endpoint; 0 = never"
    )
    venue_url: str = Field(
        "",
        pattern=r"^(local|https?://[^/\s]+)?$",
        description="address of a local venue to connect to in place of the real ones; `local` starts one",
    )
    rate_limits: Path | None = Field(
        None, description="file of rate limits; otherwise rate_limits.json here, if there is one"
    )
    exchange: Literal["on", "off"] = Field(
        "on", description="whether clients may connect to the built-in exchange"
    )
    exchange_port: int = Field(
        8051,
        ge=0,
        le=65_535,
        description="port of the built-in exchange, REST and WebSocket; 0 = any free one",
    )
    order_port: int = Field(
        8053,
        ge=0,
        le=65_535,
        description="port of its order sockets alone, which is faster; 0 = any free one",
    )
    config_dir: Path = Field(
        default_factory=_config_directory,
        validate_default=True,
        description="folder for what opens the exchange's kept API keys; not data_dir",
    )
    record: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="venues recorded from the start, comma-separated: builtin, binance_spot"
    )
    record_what: Annotated[tuple[str, ...], NoDecode] = Field(
        USUAL, description=f"what is recorded of them, of {', '.join(WHAT)}"
    )
    snapshot_interval_s: int = Field(
        10,
        ge=1,
        le=3_600,
        description="seconds between two recorded snapshots of a book; replays begin at one",
    )
    snapshot_depth: int = Field(500, ge=1, le=16_384, description="levels a side in them")
    archive: str = Field(
        "", description="where the archive's files go: a folder, or s3://bucket/prefix; otherwise data_dir"
    )
    retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="days that what was recorded is kept; 0 = for ever; the page can change it",
    )
    disk_budget_gb: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="the most it may take on this disk, the oldest goes first; 0 = no bound",
    )
    api: Literal["on", "off"] = Field("on", description="whether the market-data API is served")
    api_port: int = Field(8052, ge=0, le=65_535, description="port of the market-data API; 0 = any free one")
    auth: Literal["auto", "always"] = Field(
        "auto", description="who must say who they are: all, or all but programs and browsers on this machine"
    )
    api_rate: int = Field(
        200, ge=1, le=1_000_000, description="requests a second that an address, or a key, may send the API"
    )
    api_connections: int = Field(
        1_000, ge=1, le=20_000, description="connections that an address, or a key, may hold at the API"
    )
    tls_cert: Path | None = Field(
        None, description="certificate chain (PEM); with tls_key, all is served over TLS"
    )
    tls_key: Path | None = Field(None, validate_default=True, description="the certificate's key (PEM)")
    log_format: Literal["console", "json"] = Field("console", description="how log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="least level printed to standard error"
    )

    @field_validator("allowed_hosts", "venues", "record", "record_what", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("host")
    @classmethod
    def _bindable(cls, host: str) -> str:
        if host == "localhost":
            return host
        try:
            return str(ip_address(host.strip("[]")))
        except ValueError:
            raise ValueError("it must be an IP address of this machine, or localhost") from None

    @field_validator("tls_key")
    @classmethod
    def _paired(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_cert") is None):
            raise ValueError("tls_cert and tls_key go together")
        return key

    @field_validator("record_what")
    @classmethod
    def _recordable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in WHAT]
        if unknown or not names:
            raise ValueError(f"choose of {', '.join(WHAT)}")
        return names

    @field_validator("config_dir")
    @classmethod
    def _apart(cls, folder: Path, info: ValidationInfo) -> Path:
        data = info.data.get("data_dir")
        if data is not None and folder.resolve() == data.resolve():
            raise ValueError("it is data_dir too, and whoever copies that folder would have the keys open")
        return folder

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, SETTINGS_FILE)


def store_folder(chosen: Settings, local: bool = False) -> Path:
    """Where what is recorded is kept; what a local venue said apart from what the real ones did."""
    return chosen.data_dir / ("store-local" if local or chosen.venue_url else "store")


def load(**flags: Any) -> Settings:
    """Settings with the given flags on top (None = not given). BadSetting names the key and what is allowed."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(str(SETTINGS_FILE), "as written", f"it is not valid TOML: {error}") from error
    except SettingsError as error:  # an environment variable that is to be JSON and is not
        found = re.search(r'"(\w+)"', str(error))
        key = found[1] if found else "VENUESCOPE_*"
        name = f"VENUESCOPE_{key.upper()}"
        raise BadSetting(key, os.environ.get(name), f"{name} must be JSON") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "venuescope.toml"
        raise BadSetting(key, first.get("input"), _allowed(key, first["msg"])) from error


def _allowed(key: str, message: str) -> str:
    known = Settings.model_fields.get(key.split(".")[0])
    if known is None:
        return f"there is no such setting; there are {', '.join(sorted(Settings.model_fields))}"
    message = message.removeprefix("Value error, ")  # pydantic's, before a sentence of ours
    sentence = message[0].lower() + message[1:]
    return f"{sentence} ({known.description})"
