import pytest

from fedjtt.errors import ConfigError, DataError, DivergedError, EngineError, FedJTTError, nearest


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError, 2), (DataError, 2), (DivergedError, 1), (EngineError, 1), (FedJTTError, 1)]
)
def test_every_error_has_the_root_and_the_promised_exit_code(error: type[FedJTTError], code: int) -> None:
    assert issubclass(error, FedJTTError)
    assert error("text").exit_code == code


def test_nearest_names_the_closest_or_nothing() -> None:
    assert nearest("digit", ["spuco-mnist", "digits"]) == "; did you mean 'digits'?"
    assert nearest("zzz", ["spuco-mnist", "digits"]) == ""
