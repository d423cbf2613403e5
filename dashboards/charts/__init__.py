"""What each chart is made of, as plain figures without rows.

Pure: `spec(name)` gives {data, layout} and, where series come and go, `slots`: the traces they are made from.
Colours are token names ("var(--vs-up)"), resolved in the browser for the theme; the common part of all layouts
is `template.json`. The client puts arrays into the traces by their order here (`assets/50_charts.js`), and never
sends a layout again after the first draw: a `bounds` trace, drawn in nothing, holds the window open instead of
a range, and lines, bands and thresholds are traces, so that a zoom outlives every update. A trace that the library's
hover leaves out, but the page's crosshair tells, has a `texttemplate` that is drawn nowhere instead of a
`hovertemplate`, which the library would follow whatever `hoverinfo` says.
"""

from __future__ import annotations

import copy

from dashboards.charts import book_map as book_maps
from dashboards.charts import latency, market, rates
from dashboards.charts.common import Figure

SPECS: dict[str, Figure] = {
    "depth": market.depth(),
    "book_map": book_maps.book_map(),
    "candles": market.candles(),
    "latency": latency.latency(),
    "latency_map": latency.latency_map(),
    "throughput": rates.throughput(),
    "messages": rates.rate(),
    "orders": rates.rate(),
    "trades": rates.rate(),
    "metrics": market.metrics(),
    "distribution": latency.distribution(),
    "samples": latency.samples(),
    "limits": rates.limits(),
    "mids": market.mids(),
    "indexed": market.indexed(),
    "exchange_rates": rates.exchange_rates(),
    "exchange_latency": latency.latency(),
}


def spec(name: str) -> Figure:
    """A copy of the figure called `name`, without rows."""
    return copy.deepcopy(SPECS[name])
