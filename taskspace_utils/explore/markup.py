"""Markup that a notebook shows, and figures as markup."""

from __future__ import annotations

import html


class Html(str):
    """Markup that a notebook shows as it is."""

    def __repr__(self) -> str:
        return f"<Html, {len(self)} characters>"

    def _repr_html_(self) -> str:
        return str(self)


def picture(figure, alt: str, width: int = 700) -> Html:
    """A matplotlib figure as HTML that carries its own description, to be shown on other pages."""
    import base64
    import io

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    data = base64.b64encode(file.getvalue()).decode()
    return Html(
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" '
        'style="max-width: 100%; height: auto">'
    )
