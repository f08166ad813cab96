"""A line of ``fedjtt deploy check``: what was looked at, and what to do where it is not right."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    subject : str
        What was looked at.
    good : bool
        Whether it is as it should be.
    text : str
        What was found.
    advice : str
        What to do; empty where all is well.
    """

    subject: str
    good: bool
    text: str
    advice: str = ""

    def __str__(self) -> str:
        verdict = "ok" if self.good else "wrong"
        return f"{self.subject:<11} {verdict}: {self.text}" + (f"; {self.advice}" if self.advice else "")


def ok(subject: str, text: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(subject, True, text)


def wrong(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that a run would stumble over."""
    return Finding(subject, False, text, advice)
