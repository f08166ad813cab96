"""The kills of ``python -m experiments.benchmarks.kills``, two of them; the documented twenty are the command's."""

from pathlib import Path

import pytest

from experiments.benchmarks import kills
from experiments.benchmarks.kills import Kill, kill_and_resume, main
from fedjtt.errors import RunError


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_with_the_same_digest(tmp_path: Path) -> None:
    done = list(kill_and_resume(2, 1, tmp_path))
    assert [kill.same for kill in done] == [True, True]
    assert len({kill.seconds for kill in done}) == 2


def test_another_digest_is_counted_and_ends_in_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = [Kill(0.5, 0, True), Kill(1.25, 7, False)]
    monkeypatch.setattr(kills, "kill_and_resume", lambda *_: iter(planted))
    assert main(["--kills", "2"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "  1  after  0.50 s, checkpoint  0: same digest",
        "  2  after  1.25 s, checkpoint  7: ANOTHER DIGEST",
        "1 of 2 runs ended with the digest of the run that nobody killed",
    ]


def test_a_run_that_does_not_begin_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="did not begin"):
        list(kill_and_resume(1, 0, tmp_path, {"method": "jt"}))
    assert "did you mean 'jtt'?" in capfd.readouterr().err
