"""How to connect a client to the built-in exchange: short programs, complete as they stand.

Each function gives one text from the exchange's address and a key. They read the best bid and leave an order a
little below it, where it rests and is seen: at the bid the crowd fills it at once. Addresses are rewritten so that
nothing is ever sent to a real venue. No block has an empty line in it, and each is followed by one, so that the texts
can be pasted into a Python prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from typing import Final, NamedTuple

Snippet = Callable[[str, str, str, str], str]  # url, address of order sockets, API key, secret

# Marks the browser puts its own values in the place of: a secret is never part of a page.
MARKS: Final = ("{{url}}", "{{socket}}", "{{key}}", "{{secret}}")

_CCXT = """
    import ccxt, re

    def here(urls, base="{base}"):
        \"\"\"The venue's addresses, all of them at the built-in exchange.\"\"\"
        if isinstance(urls, dict):
            return {{name: here(url) for name, url in urls.items()}}
        own = base if urls.startswith("http") else base.replace("http", "ws", 1)
        return re.sub(r"^\\w+://[^/]+", own, urls)

    exchange = ccxt.{venue}({{"apiKey": "{key}", "secret": "{secret}"}})
    exchange.urls["api"] = here(exchange.urls["api"])
    exchange.options["fetchMarkets"]["types"] = ["spot"]
    exchange.has["fetchCurrencies"] = False

    bid = exchange.fetch_order_book("BTC/USDT", {depth})["bids"][0][0]
    price = exchange.price_to_precision("BTC/USDT", bid * 0.999)
    order = exchange.create_order("BTC/USDT", "limit", "buy", 0.001, price)
    print(order["id"], "of", len(exchange.fetch_open_orders("BTC/USDT")), "open orders")
    print(exchange.fetch_balance()["USDT"])
"""


def ccxt_binance(url: str, _socket: str, key: str, secret: str) -> str:
    """ccxt, which speaks Binance's dialect to it."""
    return _text(_CCXT.format(base=f"{url}/binance_spot", venue="binance", key=key, secret=secret, depth=5))


def ccxt_bybit(url: str, _socket: str, key: str, secret: str) -> str:
    """ccxt, which speaks Bybit's dialect to it."""
    return _text(_CCXT.format(base=f"{url}/bybit", venue="bybit", key=key, secret=secret, depth=1))


def python_binance(url: str, _socket: str, key: str, secret: str) -> str:
    """python-binance."""
    return _text(
        f"""
        from binance.client import Client

        Client.API_URL = "{url}/binance_spot/api"
        client = Client("{key}", "{secret}")

        bid = client.get_order_book(symbol="BTCUSDT", limit=5)["bids"][0][0]
        price = f"{{float(bid) * 0.999:.1f}}"
        order = client.order_limit_buy(symbol="BTCUSDT", quantity="0.001", price=price)
        print(order["orderId"], order["status"])
        print(client.get_open_orders(symbol="BTCUSDT"))
        print(client.get_asset_balance(asset="USDT"))
        """
    )


def pybit(url: str, _socket: str, key: str, secret: str) -> str:
    """pybit."""
    return _text(
        f"""
        from pybit.unified_trading import HTTP

        session = HTTP(api_key="{key}", api_secret="{secret}")
        session.endpoint = "{url}/bybit"

        book = session.get_orderbook(category="spot", symbol="BTCUSDT", limit=1)
        bid = book["result"]["b"][0][0]
        price = f"{{float(bid) * 0.999:.1f}}"
        order = session.place_order(
            category="spot", symbol="BTCUSDT", side="Buy",
            orderType="Limit", qty="0.001", price=price,
        )
        print(order["result"]["orderId"])
        print(session.get_open_orders(category="spot", symbol="BTCUSDT"))
        print(session.get_wallet_balance(accountType="UNIFIED"))
        """
    )


def curl(url: str, _socket: str, key: str, secret: str) -> str:
    """curl and openssl, in Binance's dialect."""
    return _text(
        f"""
        BASE="{url}/binance_spot"
        KEY="{key}"
        SECRET="{secret}"

        BID=$(curl -s "$BASE/api/v3/ticker/bookTicker?symbol=BTCUSDT" |
          sed 's/.*"bidPrice":"\\([0-9.]*\\)".*/\\1/')
        PRICE=$(LC_ALL=C awk -v bid="$BID" 'BEGIN {{ printf "%.1f", bid * 0.999 }}')
        ORDER="symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
        ORDER="$ORDER&quantity=0.001&price=$PRICE&timestamp=$(date +%s)000"
        SIGN=$(printf %s "$ORDER" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)

        curl -s -X POST -H "X-MBX-APIKEY: $KEY" "$BASE/api/v3/order?$ORDER&signature=$SIGN"
        """
    )


def native(_url: str, socket: str, key: str, secret: str) -> str:
    """The exchange's own protocol, over the websockets library."""
    return _text(
        f"""
        import asyncio, hashlib, hmac, json, time
        from websockets.asyncio.client import connect

        KEY, SECRET = "{key}", "{secret}"

        async def ask(ws, op, **more):
            # the answer to one request
            await ws.send(json.dumps({{"op": op, "id": op, **more}}))
            while (answer := json.loads(await ws.recv())).get("id") != op:
                pass
            return answer

        async def main():
            async with connect("{socket}/native") as ws:
                ms = int(time.time() * 1000)
                sign = hmac.new(SECRET.encode(), f"login{{ms}}{{KEY}}".encode(), hashlib.sha256).hexdigest()
                print(await ask(ws, "login", key=KEY, ts_ms=ms, sign=sign))
                await ask(ws, "subscribe", channels=["bbo:BTC-USDT"])
                while not (top := json.loads(await ws.recv())).get("bid"):
                    pass
                price = f"{{float(top['bid'][0]) * 0.999:.1f}}"
                order = dict(symbol="BTC-USDT", side="buy", type="limit", price=price, size="0.001")
                print(await ask(ws, "place", **order))
                print(await ask(ws, "balances"))

        asyncio.run(main())
        """
    )


class Kind(NamedTuple):
    """One snippet: its tab, the language it is coloured as, what to install for it."""

    id: str
    label: str
    language: str
    needs: str
    make: Snippet


KINDS: Final = (
    Kind("ccxt-binance", "ccxt, Binance", "python", "pip install ccxt", ccxt_binance),
    Kind("ccxt-bybit", "ccxt, Bybit", "python", "pip install ccxt", ccxt_bybit),
    Kind("python-binance", "python-binance", "python", "pip install python-binance", python_binance),
    Kind("pybit", "pybit", "python", "pip install pybit", pybit),
    Kind("curl", "curl", "shell", "curl, openssl", curl),
    Kind("native", "native", "python", "pip install websockets", native),
)


def templates() -> list[dict[str, str]]:
    """Every snippet with marks where the browser puts address, key and secret."""
    return [
        {"id": kind.id, "label": kind.label, "language": kind.language, "needs": kind.needs, "text": kind.make(*MARKS)}
        for kind in KINDS
    ]  # fmt: skip


def _text(body: str) -> str:
    return dedent(body).strip() + "\n"
