"""All figures of a run on one page that opens from a file, with plotly's own script inside."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from clarilm_kedro.metrics.inline_page import csp_hash, json_in_html, packaged, render

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: What to look for in each figure, by its dataset name.
CAPTIONS = {
    "confusion_figure": "How many items each system asked about, by label; darker is a larger share of the row.",
    "category_figure": "Accuracy by category. CLAMBER's question-word subclasses hold one label only, so a system that "
    "always asks is right on all of them: read them beside the clear ones (MC / none). A click in the legend adds the "
    "other systems.",
    "matrix_figure": "Macro F1 of the system in the row minus that of the one in the column, on the same items. A "
    "star: the paired bootstrap interval leaves out 0. Two stars: and McNemar's test is below 5 % after Holm's "
    "correction over all pairs.",
    "ask_rate_figure": "Each curve is one ranking of the items cut at every threshold. A diamond is the threshold "
    "used, fitted on validation rows; where the curve is higher elsewhere, validation and test differ.",
    "ranking_figure": "How far up the ranking the items lie that need a clarification. Where nearly all need "
    "one (IN3), look at ROC: precision is high whatever the system does.",
    "reliability_figure": "On the dots, P(ask) of 70 % means that 70 of 100 such items need a clarification.",
    "cost_figure": "The mean price of wrong decisions. A curve that nowhere falls below the dots is worth no more than "
    "always, or never, asking.",
}


def build_figures_page(figures: Mapping[str, "Figure"], title: str) -> str:
    """Write the page.

    Args:
        figures: By dataset name, in the order shown.
        title: Heading of the page.

    Returns:
        A complete HTML document, some 5 MB: plotly.js is 4.8 MB of it.
    """
    from plotly.offline import get_plotlyjs

    # A tag in plotly's strings must not end the element that the script stands in.
    library = get_plotlyjs().replace("</script", "<\\/script")
    script = packaged("figures.js")
    shown = [{"name": name, "caption": CAPTIONS.get(name, "")} for name in figures]
    data = {name: json.loads(figure.to_json()) for name, figure in figures.items()}
    return render(
        "figures.html.jinja",
        title=title,
        figures=shown,
        data=json_in_html(data),
        library=Markup(library),
        script=Markup(script),
        hashes=Markup(f"{csp_hash(library)} {csp_hash(script)}"),
    )
