"""The versions and the digest that hosts compare."""

from importlib.metadata import version
from pathlib import Path

import fedjtt
from experiments.deploy.identity import code_digest, installed_versions, same_version


def small_tree(root: Path) -> Path:
    for name, text in (("fedjtt/a.py", "a = 1\n"), ("fedjtt/b/c.py", "c = 1\n"), ("strategies/d.py", "")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_digest_sees_every_change_of_code_and_nothing_else(tmp_path: Path) -> None:
    root = small_tree(tmp_path)
    first = code_digest(root)
    (root / "experiments.py").write_text("not the apps'")
    (root / "fedjtt" / "__pycache__").mkdir()
    (root / "fedjtt" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (root / "fedjtt" / "a.py").write_bytes(b"a = 1\r\n")
    assert code_digest(root) == first
    seen = {first}
    (root / "fedjtt" / "a.py").write_text("a = 2\n")
    seen.add(code_digest(root))
    (root / "fedjtt" / "a.py").rename(root / "fedjtt" / "e.py")
    seen.add(code_digest(root))
    (root / "strategies" / "d.py").unlink()
    seen.add(code_digest(root))
    assert len(seen) == 4


def test_the_installed_code_has_a_digest() -> None:
    assert len(code_digest()) == 64


def test_versions_are_those_installed() -> None:
    versions = installed_versions()
    assert versions["torch"] == version("torch")
    assert versions["fedjtt"] == fedjtt.__version__
    assert set(versions) == {"python", "flwr", "torch", "fedjtt"}


def test_pythons_patch_release_does_not_matter() -> None:
    assert same_version("python", "3.11.7", "3.11.9")
    assert not same_version("python", "3.11.7", "3.12.7")
    assert not same_version("torch", "2.7.0", "2.7.1")
