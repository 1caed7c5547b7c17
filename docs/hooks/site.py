"""MkDocs hooks: the generated reference, the static kedro-viz, a check that the site fetches nothing from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages import ROOT, packages, reference_pages

LINEAGE = "lineage-graph"
# Material's plugin `offline` takes this from elsewhere; docs/assets has a script that does the same.
_SHIM = "https://unpkg.com/iframe-worker/shim"
_TAGS = re.compile(r"<(script|link|img|iframe|source|video|audio)\b[^>]*>", re.IGNORECASE)
_ADDRESS = re.compile(r"\b(?:src|srcset|href)\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)", re.IGNORECASE)
_STYLES = re.compile(r"(?:url\(\s*|@import\s*)[\"']?((?:https?:)?//[^\"')\s;]+)", re.IGNORECASE)
# kedro-viz falls back to the reader's own fonts.
_WEB_FONT = re.compile(
    r"<link\b[^>]*https://fonts\.(?:googleapis|gstatic)\.com[^>]*>|"
    r"@import\s*(?:url\()?[\"']?https://fonts\.googleapis\.com[^\"')]*[\"']?\)?\s*;"
)


def on_config(config: MkDocsConfig) -> None:
    """List the pages made from docstrings in the menu, so that a new part of the package needs no line there."""
    pages: list[Any] = [{name: f"reference/python/{name}.md"} for name in packages()]
    for section in config.nav or []:
        if "Reference" in section:
            section["Reference"].append({"Python": pages})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the generated pages, and kedro-viz where its static build is there."""
    for path, text in reference_pages().items():
        files.append(File.generated(config, path, content=text))
    built = static_lineage(ROOT / "build")
    files.append(File.generated(config, "reference/lineage_graph.md", content=_lineage_page(built is not None)))
    if built:
        for path in sorted(each for each in built.rglob("*") if each.is_file()):
            name = f"{LINEAGE}/{path.relative_to(built).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links that lead to a source file from the repository lead to its page in the reference."""
    up = "../" * page.file.src_uri.count("/")
    return re.sub(
        r"\]\((?:\.\./)+src/clarilm_kedro/(\w+)/([\w/]+)\.py\)",
        lambda found: f"]({up}reference/python/{found[1]}.md#clarilm_kedro.{found[1]}.{found[2].replace('/', '.')})",
        markdown,
    )


def on_page_content(html: str, **_: Any) -> str:
    """Take the roles that Sphinx would read (``:class:``) off the names in docstrings."""
    return re.sub(r":(?:class|func|meth|mod|attr|data|exc):(?=\s*<code>)", "", html)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would fetch a script, a style, a font or an image from another machine.

    The search's script for pages opened from a file comes from the site itself, kedro-viz does without its web font.

    Raises:
        PluginError: Names every file and address.
    """
    site = Path(config.site_dir)
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        if _SHIM in text:
            up = "../" * (len(file.relative_to(site).parts) - 1)
            file.write_text(text.replace(_SHIM, f"{up}assets/iframe-worker.js"), encoding="utf-8")
    for file in (each for each in (site / LINEAGE).rglob("*") if each.suffix in (".html", ".css")):
        text = file.read_text(encoding="utf-8")
        file.write_text(_WEB_FONT.sub("", text), encoding="utf-8")
    found = [f"{file.relative_to(site)}: {address}" for file, address in outside_assets(site)]
    if found:
        raise PluginError("The site must work without a network, but it asks for\n" + "\n".join(found))


def outside_assets(site: Path) -> Iterator[tuple[Path, str]]:
    """Give what pages and styles would fetch from elsewhere; a link that a reader may follow is none of it."""
    for file in sorted(site.rglob("*.html")):
        text = file.read_text(encoding="utf-8")
        for tag in _TAGS.finditer(text):
            if 'rel="canonical"' not in tag[0]:
                yield from ((file, address) for address in _ADDRESS.findall(tag[0]))
        for style in re.findall(r"<style\b[^>]*>(.*?)</style>", text, re.DOTALL | re.IGNORECASE):
            yield from ((file, address) for address in _STYLES.findall(style))
    for file in sorted(site.rglob("*.css")):
        yield from ((file, address) for address in _STYLES.findall(file.read_text(encoding="utf-8")))


def static_lineage(build: Path) -> Path | None:
    """Find what ``kedro viz build`` left: the folder with a page and the graph that it draws."""
    graphs = sorted(build.rglob("api/main"), key=lambda each: len(each.parts))
    return next((each.parents[1] for each in graphs if (each.parents[1] / "index.html").is_file()), None)


def _lineage_page(is_built: bool) -> str:
    where = (
        f"[Open the graph](../{LINEAGE}/index.html). It is a static build of kedro-viz. Browsers let it read its data "
        "over HTTP only: "
        "`python -m http.server --directory site 8000 --bind 127.0.0.1`, then http://127.0.0.1:8000."
        if is_built
        else "This site was built without it. `make docs` builds it too; `make viz` shows the graph on http://127.0.0.1:4141."
    )
    return f"# Lineage\n\nEvery dataset, node, prompt and chat model, and which is made from which.\n\n{where}\n"
