"""One picture: the history and the fan of the forecast, as a self-contained HTML file."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from ensemble_forecast import atomic
from ensemble_forecast.report.words import check_page_name

HISTORY_HORIZONS = 12  # how much of the past is drawn, in horizons
MAX_SERIES = 12


def write_plot(path: Path, history: pd.DataFrame, forecast: pd.DataFrame) -> None:
    """Draw the end of the history and the forecast's quantiles, or its probability of up; the first dozen series, one below the other in the legend.

    Parameters
    ----------
    history
        unique_id, ds, y.
    forecast
        As `EnsembleForecaster.predict` returns it.

    Raises
    ------
    BadInput
        When the file's name does not end in .html.
    """
    check_page_name(path, "--plot writes")
    levels = sorted((name for name in forecast.columns if name.replace(".", "", 1).isdigit()), key=float)
    figure = go.Figure()
    for series in list(dict.fromkeys(forecast["unique_id"]))[:MAX_SERIES]:
        future = forecast[forecast["unique_id"] == series]
        past = history[history["unique_id"] == series].tail(HISTORY_HORIZONS * len(future))
        figure.add_scatter(x=past["ds"], y=past["y"], name=f"{series}: history", line={"color": "#444444", "width": 1.5})
        for low, high in zip(levels, reversed(levels), strict=True):
            if float(low) < 0.5:
                figure.add_scatter(
                    x=[*future["ds"], *future["ds"][::-1]],
                    y=[*future[high], *future[low][::-1]],
                    fill="toself",
                    fillcolor="rgba(31, 119, 180, 0.16)",
                    line={"width": 0},
                    name=f"{series}: {low} to {high}",
                )
        for column in [name for name in future.columns if name == "0.5" or name.startswith("p_")]:
            told = "median" if column == "0.5" else f"probability of {column.removeprefix('p_')}"
            colour = {"p_stop": "#d62728", "p_timeout": "#7f7f7f"}.get(column, "#1f77b4")
            figure.add_scatter(x=future["ds"], y=future[column], name=f"{series}: {told}", line={"color": colour})
    figure.update_layout(template="plotly_white", margin={"l": 40, "r": 20, "t": 30, "b": 40}, legend={"orientation": "h"})
    atomic.write_text(path, figure.to_html(include_plotlyjs=True, full_html=True))
