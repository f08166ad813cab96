import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments import report
from experiments.report import build_report
from fedjtt.errors import ConfigError
from tests.experiments.test_results import synthetic_result, write_run, write_sweep

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
PROBE = """<script>addEventListener("load", () => { const p = document.createElement("pre"); p.id = "probe";
p.textContent = JSON.stringify({ images: [...document.images].map(i => i.complete && i.naturalWidth),
wide: document.documentElement.scrollWidth > innerWidth,
requests: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")) });
document.body.append(p); })</script>"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sweep(tmp_path_factory.mktemp("sweep"), machines=(1, 2, 5))
    (folder / "failures.json").write_text(json.dumps([{"run": "digits-m3", "error": "<script>alert(1)</script> NaN"}]))
    build_report(folder)
    return folder


class Page(HTMLParser):
    """Collects tags, and which of them are open at the end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_writes_all_its_files_and_twice_the_same(sweep: Path) -> None:
    names = ["comparisons.csv", "failures.json", "figures", "report.html", "results.csv", "rounds.csv", "runs",
             "summary.csv", "summary.md", "summary.txt"]  # fmt: skip
    assert sorted(path.name for path in sweep.iterdir()) == names
    figures = sorted(path.stem for path in (sweep / "figures").iterdir())
    assert figures == ["epochs", "error-set", "groups", "samples", "wga-bytes", "wga-machines", "wga-speed-up"]
    before = (sweep / "report.html").read_bytes()
    assert build_report(sweep) == sweep / "report.html"
    assert (sweep / "report.html").read_bytes() == before


def test_the_page_is_well_formed_self_contained_and_accessible(sweep: Path) -> None:
    text = (sweep / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 7
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert "http:" not in text
    assert "https:" not in text
    assert ("html", {"lang": "en"}) in page.tags
    assert "prefers-color-scheme: dark" in text


def test_what_runs_say_is_escaped_and_counted(sweep: Path) -> None:
    text = (sweep / "report.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; NaN" in text
    assert "<script" not in text
    assert "the error set of machine &lt;3&gt; is empty (6 of 24 runs)" in text


def test_missing_data_is_said_and_stale_figures_go(tmp_path: Path) -> None:
    result = synthetic_result({"dataset": "spuco-mnist", "machines": 2, "data-dir": str(tmp_path / "nowhere")})
    write_run(tmp_path / "run", result)
    (tmp_path / "run" / "figures").mkdir()
    (tmp_path / "run" / "figures" / "samples.png").write_bytes(b"of an earlier report")
    text = build_report(tmp_path / "run").read_text()
    assert "The dataset is not to be had here: " in text
    assert "Samples of every group: not drawn, needs the dataset" in text
    assert "Worst-group accuracy against machines: not drawn, needs JTT on at least two machine counts" in text
    assert [path.name for path in (tmp_path / "run" / "figures").iterdir()] == ["epochs.png"]


def test_the_originals_setting_adds_the_figure_over_identifications_speed_up(sweep: Path, tmp_path: Path) -> None:
    text = (sweep / "report.html").read_text()
    assert "Error set against the speed-up of identification: not drawn" in text
    assert "identify = local, identify-batch-size = 64, identify-learning-rate = 0.01, identify-epochs = 2" in text
    write_sweep(tmp_path, machines=(1, 2), seeds=1, updates_to=1)
    build_report(tmp_path)
    assert (tmp_path / "figures" / "identification-speed-up.png").read_bytes().startswith(b"\x89PNG")
    assert "Error set against the speed-up of identification: not drawn" not in (tmp_path / "report.html").read_text()


def test_runs_of_an_earlier_version_lack_keys_and_are_reported(tmp_path: Path) -> None:
    write_sweep(tmp_path, machines=(1, 2), seeds=1)
    for path in tmp_path.glob("runs/*/result.json"):
        result = json.loads(path.read_text())
        for key in ("identify-rounds", "identify-stop", "identify-guard", "peers", "peer-vote", "clip-norm"):
            del result["config"][key]
        path.write_text(json.dumps(result))
    text = build_report(tmp_path).read_text()
    assert "JTT, federated, 2&nbsp;machines" in text
    assert "peer-vote" not in text


def test_a_folder_without_runs_gets_no_report(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no finished run"):
        build_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _browse(page: Path, profile: Path, width: int) -> tuple[str, list[str]]:
    """Open a page in a browser that reaches no host; return its DOM and what the console said."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
               f"--user-data-dir={profile}", f"--window-size={width},900", "--enable-logging=stderr", "--v=0",
               "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium, chromium-browser or google-chrome on PATH")


@needs_browser
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_the_page_without_errors_and_without_a_network(sweep: Path, tmp_path: Path, width: int) -> None:
    report = sweep / "report.html"
    dom, console = _browse(report, tmp_path / "plain", width)
    assert "What distribution costs the worst group" in dom
    assert console == []
    probed = tmp_path / "probed.html"  # the page's own policy forbids scripts, so a copy without it is asked
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text())
    probed.write_text(text.replace("</head>", PROBE + "</head>"))
    dom, console = _browse(probed, tmp_path / "probe", width)
    probe = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.DOTALL)
    assert probe is not None
    found = json.loads(probe.group(1))
    assert console == []
    assert len(found["images"]) == 7
    assert all(found["images"])
    assert (found["wide"], found["requests"]) == (False, [])


@needs_browser
def test_the_browser_would_say_if_the_page_asked_for_something(sweep: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text((sweep / "report.html").read_text().replace("</main>", '<img src="https://example.org/a.png">'))
    _, console = _browse(spoilt, tmp_path / "profile", 1200)
    assert any("Content Security Policy" in line for line in console)


def test_a_dataset_that_is_not_painted_has_no_strength() -> None:
    painted = {"config.dataset": "digits", "config.difficulty": "large", "config.spurious-strength": 0.9}
    table = {"config.dataset": "adult", "config.difficulty": "auto", "config.spurious-strength": "auto"}
    assert report._what([painted, table, painted]) == "3 runs on adult; digits, large, strength 0.9."
