"""Markup that a notebook shows, and figures as markup."""

from __future__ import annotations


class Html(str):
    """Markup that a notebook shows as it is."""

    def __repr__(self) -> str:
        return f"<Html, {len(self)} characters>"

    def _repr_html_(self) -> str:
        return str(self)


def picture(figure, alt: str, width: int = 700) -> Html:
    """A matplotlib figure as HTML that carries its own description, to be shown on other pages.

    It holds the figure twice, for light and for dark pages, of which one is seen.
    """
    import base64
    import io

    from taskspace_utils import dark

    def data(drawn) -> str:
        file = io.BytesIO()
        drawn.savefig(file, format="png", dpi=150, bbox_inches="tight")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

    look = f'width="{width}" style="max-width: 100%; height: auto"'
    light = data(figure)
    with dark.darkened(figure):
        return Html(dark.both(light, data(figure), alt, look))
