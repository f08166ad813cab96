"""A report's HTML page and its parts: one file that fetches nothing, light and dark, for a desk and a phone."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

# The policy makes the browser itself refuse whatever is not in this file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #57606a; --page: #fff; --line: #d0d7de; --band: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --soft: #9da7b3; --page: #0d1117; --line: #30363d; --band: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.what, figcaption { color: var(--soft); font-size: .875rem; }
.answer { font-size: 1.15rem; padding: .9rem 1.1rem; border-left: 4px solid #0072B2; background: var(--band); }
figure { margin: 0 0 1.5rem; } .scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .8125rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .4rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { border-top: 0; background: var(--band); white-space: normal; vertical-align: bottom; }
td:nth-child(5):last-child { white-space: normal; min-width: 15rem; }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--page); }
thead th:first-child { background: var(--band); }
tbody th { font-weight: 500; white-space: normal; min-width: clamp(9rem, 20vw, 12rem); }
.scroll + figcaption { margin-top: .4rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 0 1.5rem; }
.plot { max-width: 42rem; }
.plot figcaption { color: inherit; font-weight: 600; font-size: 1rem; margin-bottom: .4rem; }
.plot img { display: block; width: 100%; height: auto; background: #fff; padding: .4rem; border-radius: 6px;
  border: 1px solid var(--line); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 0 1.5rem; font-size: .875rem; }
dl div { display: flex; justify-content: space-between; gap: 1rem; border-bottom: 1px solid var(--line);
  padding: .2rem 0; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; min-width: 0; overflow-wrap: anywhere; }
"""


def page(title: str, what: str, content: str) -> str:
    """Return the whole page: a title, a line below it, and the sections as they are."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>fedjtt report</title>\n<style>{_STYLE}</style></head>\n<body><main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="what">{escape(what)}</p>\n{content}\n'
        "</main></body></html>\n"
    )


def bullets(items: Iterable[str]) -> str:
    """Return a list of items that are HTML already; nothing where there is none."""
    inside = "".join(items)
    return f"<ul>{inside}</ul>" if inside else ""


def pairs(values: Mapping[str, Any]) -> str:
    """Return names and their values as a list; nothing where there is none."""
    items = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(str(value))}</dd></div>" for key, value in values.items())
    return f"<dl>{items}</dl>" if items else ""


def section(title: str, content: str) -> str:
    """Return a section of HTML content under its title; nothing where there is no content."""
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>" if content else ""


def counted(number: int, name: str) -> str:
    """Return a number with its noun, which takes an s."""
    return f"{number} {name}" + ("" if number == 1 else "s")
