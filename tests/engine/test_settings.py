"""Settings: order of sources, and errors that name the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import settings
from engine.errors import BadSetting

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"VENUESCOPE_{name.upper()}", raising=False)
    return tmp_path


def test_flags_beat_environment_beat_file_beat_defaults(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.load().rate == 5_000
    (elsewhere / "venuescope.toml").write_text("rate = 10\nseed = 11\nport = 9000\n")
    monkeypatch.setenv("VENUESCOPE_SEED", "12")
    monkeypatch.setenv("VENUESCOPE_PORT", "9001")
    found = settings.load(port=9002, host=None)
    assert (found.rate, found.seed, found.port) == (10, 12, 9002)


def nested(key: str, value: object) -> dict[str, object]:
    """`a.b` and a value as {"a": {"b": value}}."""
    first, _, rest = key.partition(".")
    return {first: nested(rest, value) if rest else value}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("port", 70_000, "65535"),
        ("rate", -1, "greater than or equal to 0"),
        ("rate", 1_000_001, "1000000"),
        ("host", "desk.example", "an IP address"),
        ("log_level", "loud", "'debug'"),
        ("history_s", "long", "integer"),
        ("command_log", "on", "'off', 'async' or 'sync'"),
        ("venue_url", "localhost:8051", "address of a local venue"),
        ("polls.binance_spot.time", 90_000, "86400"),
    ],
)
def test_a_bad_value_names_its_key_and_what_is_allowed(key: str, value: object, says: str) -> None:
    with pytest.raises(BadSetting) as caught:
        settings.load(**nested(key, value))
    assert caught.value.key == key
    assert says in str(caught.value)
    assert "value error" not in str(caught.value).lower()
    assert str(caught.value).startswith(f"setting {key} cannot be {value!r}")


def test_a_bad_environment_value_names_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUESCOPE_PORT", "eighty")
    with pytest.raises(BadSetting, match="setting port cannot be 'eighty'"):
        settings.load()


def test_an_unknown_key_in_the_file_lists_those_there_are(elsewhere: Path) -> None:
    (elsewhere / "venuescope.toml").write_text("prot = 8050\n")
    with pytest.raises(BadSetting, match=r"setting prot .* no such setting; there are .*port"):
        settings.load()


def test_a_file_that_is_no_toml_is_refused(elsewhere: Path) -> None:
    (elsewhere / "venuescope.toml").write_text("port 8050\n")
    with pytest.raises(BadSetting, match="not valid TOML"):
        settings.load()


def test_allowed_hosts_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENUESCOPE_ALLOWED_HOSTS", "desk.example, other.example")
    assert settings.load().allowed_hosts == ("desk.example", "other.example")


def test_nothing_is_kept_unless_asked_for_and_then_in_the_users_folders(elsewhere: Path) -> None:
    found = settings.load()
    assert found.command_log == "off"
    assert "venuescope" in str(found.data_dir)
    assert found.data_dir != found.cache_dir
    (elsewhere / "venuescope.toml").write_text('command_log = "sync"\ndata_dir = "/kept"\n')
    found = settings.load()
    assert (found.command_log, found.data_dir) == ("sync", Path("/kept"))


def test_every_setting_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    missing = [name for name in settings.Settings.model_fields if f"`{name}`" not in text]
    assert missing == []


def test_symbols_and_polls_come_from_the_file_or_as_json_from_the_environment(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "venuescope.toml").write_text('[symbols]\nbinance_spot = ["BTC-USDT", "ETH-USDT"]\n')
    monkeypatch.setenv("VENUESCOPE_VENUES", "binance_spot, bybit_linear")
    monkeypatch.setenv("VENUESCOPE_POLLS", '{"binance_spot": {"time": 30}}')
    found = settings.load()
    assert found.symbols == {"binance_spot": ("BTC-USDT", "ETH-USDT")}
    assert found.venues == ("binance_spot", "bybit_linear")
    assert found.polls == {"binance_spot": {"time": 30}}


def test_an_environment_variable_that_should_be_json_and_is_not_is_named(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENUESCOPE_SYMBOLS", "BTC-USDT")
    with pytest.raises(BadSetting, match="VENUESCOPE_SYMBOLS must be JSON"):
        settings.load()


@pytest.mark.parametrize("name", ["user_data_dir", "user_config_dir"])
def test_what_opens_the_keys_lies_apart_from_them_where_the_system_has_one_folder(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    one = getattr(settings.platformdirs, name)
    monkeypatch.setattr(settings.platformdirs, "user_data_dir", one)
    monkeypatch.setattr(settings.platformdirs, "user_config_dir", one)  # as on macOS and Windows
    found = settings.load()
    assert found.config_dir != found.data_dir
    assert found.data_dir not in found.config_dir.parents


def test_one_folder_for_the_keys_and_what_opens_them_is_refused(elsewhere: Path) -> None:
    with pytest.raises(BadSetting, match="config_dir"):
        settings.load(data_dir=elsewhere / "a", config_dir=elsewhere / "b" / ".." / "a")
    with pytest.raises(BadSetting, match="it is data_dir too"):
        settings.load(data_dir=settings.load().config_dir)
    settings.load(data_dir=elsewhere / "a", config_dir=elsewhere / "b")
