import pytest

from fedjtt.errors import (
    ConfigError,
    DataError,
    DivergedError,
    EngineError,
    FedJTTError,
    ForgottenError,
    error_of,
    nearest,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError, 2), (DataError, 2), (DivergedError, 1), (EngineError, 1), (ForgottenError, 1), (FedJTTError, 1)],
)
def test_every_error_has_the_root_and_the_promised_exit_code(error: type[FedJTTError], code: int) -> None:
    assert issubclass(error, FedJTTError)
    assert error("text").exit_code == code


def test_nearest_names_the_closest_or_nothing() -> None:
    assert nearest("digit", ["spuco-mnist", "digits"]) == "; did you mean 'digits'?"
    assert nearest("zzz", ["spuco-mnist", "digits"]) == ""


@pytest.mark.parametrize("error", [ConfigError, DataError, DivergedError, EngineError, ForgottenError])
def test_an_error_is_told_by_the_name_of_its_class(error: type[FedJTTError]) -> None:
    arrived = error_of(error.__name__, "text")
    assert type(arrived) is error
    assert str(arrived) == "text"


def test_an_error_of_unknown_name_is_the_engines() -> None:
    assert type(error_of("ValueError", "text")) is EngineError
