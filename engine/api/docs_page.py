"""The page that describes and tries every route, made from the table of routes once, at the start.

Nothing is loaded from elsewhere and nothing stands inline: the page lives under a strict Content-Security-Policy.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from engine.api.bodies import body_example
from engine.api.openapi import GROUPS, operation_id, statuses
from engine.api.problems import CODES
from engine.api.route import Parameter, Route
from engine.api.route_table import VERSION

FOLDER: Final = Path(__file__).parent / "page"
ASSETS: Final = Path(__file__).parents[2] / "assets"
TOKENS: Final = ASSETS / "10_tokens.css"
FONT: Final = ASSETS / "vendor" / "inter-latin-wght-normal.woff2"
BASE: Final = "http://127.0.0.1:8052"  # of examples; the page's script puts its own address there
FORMATS: Final = (
    ("application/json", "JSON"),
    ("text/csv", "CSV"),
    ("application/msgpack", "msgpack"),
)
LISTEN: Final = """\
import asyncio, json
import websockets

async def main():
    async with websockets.connect("{base}/ws") as socket:
        await socket.send(json.dumps({{"op": "subscribe", "id": 1, "channel": "candles", "symbol": "BTC-USDT"}}))
        async for message in socket:
            print(message)

asyncio.run(main())
"""
CHANNELS: Final = (
    ("candles", "one-second candles: the running one each second, and each final one once"),
    ("ticks", "best bid and ask, last price"),
    ("book", "a snapshot, then what changed, in sequence; `depth` levels a side"),
    ("trades", "each trade"),
    ("latency", "percentiles of each stage, once a second"),
    ("throughput", "messages and trades a second, once a second"),
    ("alerts", "alerts as they begin, end and are acknowledged"),
)

TELLING: Final = frozenset({"depth", "side", "quote", "interval", "limit"})

Page = tuple[bytes, str]  # body, content type


def pages(routes: Sequence[Route], openapi: bytes, *, demanded: bool) -> dict[str, Page]:
    """What the documentation consists of, by path. `demanded`: callers must say who they are."""
    html = (document(routes, demanded=demanded).encode(), "text/html; charset=utf-8")
    described = (openapi, "application/json")
    return {
        "/docs": html,
        "/docs/": html,
        VERSION + "/docs": html,
        "/docs/docs.css": ((FOLDER / "docs.css").read_bytes(), "text/css; charset=utf-8"),
        "/docs/docs.js": ((FOLDER / "docs.js").read_bytes(), "text/javascript; charset=utf-8"),
        "/docs/tokens.css": (TOKENS.read_bytes(), "text/css; charset=utf-8"),
        "/docs/inter.css": (FONT.with_name("inter.css").read_bytes(), "text/css; charset=utf-8"),
        f"/docs/{FONT.name}": (FONT.read_bytes(), "font/woff2"),
        "/openapi.json": described,
        VERSION + "/openapi.json": described,
    }


def document(routes: Sequence[Route], *, demanded: bool) -> str:
    """The page as HTML."""
    groups = [name for name in GROUPS if any(route.group == name for route in routes)]
    groups += sorted({route.group for route in routes} - GROUPS.keys())
    parts = [
        _HEAD,
        f'<body{" data-demanded" * demanded}><a class="skip" href="#main">To the routes</a>',
        _bar(),
        '<div class="frame">',
        _contents(routes, groups),
        '<main id="main">',
        _opening(demanded=demanded),
    ]
    for name in groups:
        parts.append(
            f'<section aria-labelledby="{_id(name)}"><h2 id="{_id(name)}">{escape(name)}</h2>'
            f'<p class="remark">{escape(GROUPS.get(name, ""))}</p>'
        )
        parts += [_route(route, demanded=demanded) for route in routes if route.group == name]
        parts.append("</section>")
    parts += [_push(), _problems(), "</main></div></body></html>\n"]
    return "".join(parts)


def curl_of(route: Route, base: str = BASE, *, demanded: bool = False) -> str:
    """A command that calls the route with its examples, and with a key where one is demanded."""
    path, query = route.path, []
    for one in route.parameters:
        shown = _example(one)
        if one.where == "path":
            path = path.replace("{" + one.name + "}", shown or one.name)
        elif _is_shown(one):
            query.append(f"{one.name}={shown}")
    url = base + VERSION + path.rstrip("/") if path != "/" else base + "/"
    url += "?" + "&".join(query) if query else ""
    words = ["curl"]
    if route.method != "GET":
        words += ["-X", route.method]
    if demanded and route.role is not None:
        words += ["-H", '"X-Api-Key: $VENUESCOPE_KEY"']
    if route.body is not None:
        words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(body_example(route.body))]
    return " ".join([*words, f"'{url}'" if query else url])


_HEAD: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Market-data API \N{MIDDLE DOT} Venuescope'
    '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="data:,"><script src="/docs/docs.js"></script>'
    '<link rel="stylesheet" href="/docs/inter.css"><link rel="stylesheet" href="/docs/tokens.css">'
    '<link rel="stylesheet" href="/docs/docs.css"></head>'
)


def _bar() -> str:
    return (
        '<header class="bar"><a class="brand" href="#main">Venuescope</a><span class="what">Market-data API</span>'
        '<form class="key"><label><span>Key or token</span><input id="credential" type="password" '
        'autocomplete="off" spellcheck="false" placeholder="vsk_\N{HORIZONTAL ELLIPSIS}, kept in this tab">'
        "</label></form>"
        '<label class="form"><span>Answer as</span><select id="accept">'
        + "".join(f'<option value="{value}">{name}</option>' for value, name in FORMATS)
        + '</select></label><button id="theme" type="button" class="quiet">Theme: system</button></header>'
    )


def _contents(routes: Sequence[Route], groups: Sequence[str]) -> str:
    rows = [
        '<nav class="contents" aria-label="Routes"><input id="find" type="search" placeholder="Find a route" '
    ]
    rows.append('aria-label="Find a route" autocomplete="off">')
    for name in groups:
        rows.append(f'<h2><a href="#{_id(name)}">{escape(name)}</a></h2><ul>')
        rows += [
            f'<li data-route="{escape(route.method)} {escape(route.path.lower())}"><a href="#{operation_id(route)}">'
            f"{_method(route)}<span>{_path(route.path)}</span></a></li>"
            for route in routes
            if route.group == name
        ]
        rows.append("</ul>")
    rows.append('<h2><a href="#push">Push</a></h2><h2><a href="#problems">Problems</a></h2></nav>')
    return "".join(rows)


def _opening(*, demanded: bool) -> str:
    asked = (
        "This server asks every caller for a key or token"
        if demanded
        else "This server asks callers on this machine for nothing; what is sent is checked all the same"
    )
    return (
        '<section class="opening"><h1>Market-data API</h1><p>Prices, candles, books and trades of every venue that is '
        "followed, and of the built-in exchange. Every path is served under <code>/v1</code> and, as an alias, "
        "without it.</p><dl>"
        "<dt>Values</dt><dd>Prices and sizes are exact decimal text. Every time comes twice: <code>ts</code> in ISO "
        "8601, in the zone of <code>tz=</code>, and <code>ts_ms</code>, milliseconds since 1970.</dd>"
        "<dt>Venues</dt><dd><code>venue=</code> names a venue (<code>builtin</code>, <code>binance_spot</code>) or a "
        "source; without it, the first live one that has the symbol answers.</dd>"
        "<dt>Forms</dt><dd><code>Accept</code> chooses JSON, msgpack or CSV.</dd>"
        f"<dt>Who calls</dt><dd>{asked}: <code>Authorization: Bearer \N{HORIZONTAL ELLIPSIS}</code> or "
        "<code>X-Api-Key: \N{HORIZONTAL ELLIPSIS}</code>. <code>uv run app.py keys create</code> makes a key.</dd>"
        "<dt>Limits</dt><dd><code>RateLimit-Limit</code>, <code>-Remaining</code> and <code>-Reset</code> tell what "
        "is left; 429 comes with <code>Retry-After</code>.</dd>"
        '<dt>For programs</dt><dd><a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1), '
        '<a href="/market.proto">/market.proto</a></dd></dl></section>'
    )


def _route(route: Route, *, demanded: bool) -> str:
    identity = operation_id(route)
    role = f'<span class="role">{route.role}</span>' if route.role else '<span class="role open">open</span>'
    body = ""
    if route.body is not None:
        body = (
            f'<label class="body"><span>Body</span><textarea name="body" rows="3" spellcheck="false">'
            f"{escape(body_example(route.body))}</textarea></label>"
        )
    fields = "".join(_field(one) for one in route.parameters)
    refusals = ", ".join(
        f'<a href="#{code}">{code}</a>'
        for codes in statuses(route).values()
        for code in codes
        if code in route.problems
    )
    refused = f'<p class="remark">May answer: {refusals}</p>' if refusals else ""
    return (
        f'<details class="route" id="{identity}"><summary>{_method(route)}<code class="path">{_path(route.path)}</code>'
        f'<span class="says">{escape(route.summary)}</span>{role}</summary>'
        f'<form class="try" data-method="{route.method}" data-path="{escape(route.path)}"'
        f"{' data-open' * (route.role is None)}>"
        f"{fields or '<p class=remark>Takes no arguments.</p>'}{body}{refused}"
        f'<div class="curl"><pre><code>{escape(curl_of(route, demanded=demanded))}</code></pre>'
        '<button type="button" class="copy quiet">Copy</button></div>'
        '<div class="send"><button type="submit">Try</button><span class="outcome" role="status"></span></div>'
        '<pre class="answer" tabindex="0" hidden></pre></form></details>'
    )


def _field(one: Parameter) -> str:
    must = one.where == "path" or one.required
    mark = '<b class="must">needed</b>' if must else ""
    filled = _example(one) if must or _is_shown(one) else ""
    if one.kind == "choice":
        absent = f"{one.default} (default)" if one.default else ""
        options = [] if must else [f'<option value="">{escape(absent)}</option>']
        options += [
            f"<option{' selected' if must and choice == filled else ''}>{escape(choice)}</option>"
            for choice in one.choices
        ]
        control = f'<select name="{one.name}" data-where="{one.where}">{"".join(options)}</select>'
    else:
        hint = (
            str(one.default)
            if one.default not in (None, "") and isinstance(one.default, int | str)
            else one.example
        )
        control = (
            f'<input name="{one.name}" data-where="{one.where}" value="{escape(filled)}" '
            f'placeholder="{escape(hint)}" autocomplete="off" spellcheck="false"{" required" if must else ""}>'
        )
    bounds = f"; {one.least:,} to {one.most:,}" if one.kind == "whole" and one.most < 2**53 else ""
    return (
        f'<label class="field"><span class="name"><code>{one.name}</code>{mark}</span>{control}'
        f'<span class="remark">{_marked(one.help)}{bounds}</span></label>'
    )


def _push() -> str:
    rows = "".join(
        f"<tr><td><code>{name}</code></td><td>{_marked(text)}</td></tr>" for name, text in CHANNELS
    )
    client = escape(LISTEN.format(base=BASE.replace("http", "ws")))
    return (
        '<section aria-labelledby="push"><h2 id="push">Push</h2><p>A WebSocket at <code>/ws</code> sends what '
        "happens, as it happens. <code>?format=json</code>, <code>msgpack</code> or <code>protobuf</code> "
        "chooses the form of its messages; what you send is always JSON.</p>"
        f"<table><thead><tr><th>channel</th><th>brings</th></tr></thead><tbody>{rows}</tbody></table>"
        f'<div class="curl"><pre><code>{client}</code></pre>'
        '<button type="button" class="copy quiet">Copy</button></div>'
        '<p class="remark">Each message bears <code>topic</code> and <code>seq</code>, which grows by one. '
        'After a lost connection, <code>"resume": {"epoch": "9f2c", "seq": 7}</code> goes on '
        "where it ended. A listener that does not read is sent less, then cut with code 1013 and a reason."
        "</p></section>"
    )


def _problems() -> str:
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td class="figure">{status}</td><td>{escape(title)}</td></tr>'
        for code, (status, title) in CODES.items()
    )
    return (
        '<section aria-labelledby="problems"><h2 id="problems">Problems</h2><p class="remark">What is '
        "refused is told as <code>application/problem+json</code>: a stable <code>code</code>, a "
        "<code>detail</code> that says what would work, and the <code>request_id</code> that the log has too.</p>"
        "<table><thead><tr><th>code</th><th>status</th>"
        f"<th>means</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _example(one: Parameter) -> str:
    if one.example:
        return one.example
    if one.choices:
        return one.choices[0]
    return str(one.default) if isinstance(one.default, int | str) else ""


def _is_shown(one: Parameter) -> bool:
    """Whether an argument of a query is given in examples: it must be, or it tells what the route can do."""
    return one.where == "query" and (one.required or bool(one.example and one.name in TELLING))


def _method(route: Route) -> str:
    return f'<span class="method {route.method.lower()}">{route.method}</span>'


def _path(path: str) -> str:
    """The path with room to break after its slashes."""
    return escape(path).replace("/", "/<wbr>")


def _marked(text: str) -> str:
    """Text with `code` in it."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if at % 2 else piece for at, piece in enumerate(pieces))


def _id(name: str) -> str:
    return "group-" + "".join(letter if letter.isalnum() else "-" for letter in name.lower())
