"""What every figure on the pages measures: between which two points, in which unit, over which window.

One table, sent to a page once and shown as a tooltip (`assets/78_tips.js`). A key is the name of a figure as in
`data-f`, `panel/Head` for the head of a column, or `tip.name` for an element that says so itself (`data-tip`).
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = "over the window chosen in the bar"
LAST_SECOND: Final = "in the last whole second"
SHOWN: Final = "all sources shown in this browser"
STARTED: Final = "since the engine started"
OPENED: Final = "since the source was opened"
CONNECTED: Final = "since the market was connected"

BAR: Final = {
    "tip.badge": "What the newest data of the source looked at is like, and how old it is: from its receipt by "
    "us to now. Live, paused, stale or disconnected is said here first.",
    "tip.quote": "Price of the newest trade of the symbol at the source looked at, and how far that is from "
    "the first trade of the window chosen in the bar. The span stands beside it where there is less than the window.",
    "tip.clock": "Time of the server, UTC. Every time on the pages is UTC unless it says local.",
    "tip.rate": "Orders a second that are sent to the built-in exchange: 0 to 1,000,000, for every browser. "
    "What it really matches is on the tile Simulated.",
    "tip.window": "How far back charts and figures look. Past 15 minutes charts of seconds show steps of 10 s.",
    "tip.hz": "How often this browser asks for what is new. It changes what you see, not what the engine takes in.",
    "foot.age": "Age of what is shown: from the time its newest event was received, or its newest second was "
    "counted, to now.",
    "foot.n": "How many events, rows or parts are behind what is shown.",
    "foot.lost": "Rows that were overwritten before this page read them since it was last drawn anew. 0 means "
    "that nothing is missing.",
    "past.time": "Time in the recording that is replayed, UTC.",
    "past.receipt": "The replay goes by the time at which we received each event. This is how far the venue's "
    "own clock was from it.",
    "past.left": "How much of the recording is still to come, by its own time.",
    "past.events": "Events replayed since the beginning, and the first digits of a checksum over them: the "
    "same recording gives the same one.",
}

OVERVIEW: Final = {
    "tile.real": f"Messages received from venues {LAST_SECOND}, summed over {SHOWN} that are not simulated. "
    "The line is the last minute.",
    "tile.sim": f"Simulated commands (orders and cancels) that the built-in exchange matched {LAST_SECOND}; "
    "beside it the rate that was asked for. The line is the last minute.",
    "tile.p50": f"Median latency of the stage named, {WINDOW}; half of all samples took no longer. The line is "
    "each second's median, the last minute.",
    "tile.p99": f"99th percentile of the latency of the stage named, {WINDOW}: one sample in 100 took longer. "
    "The line is each second's, the last minute.",
    "tile.spread": "Best ask less best bid of the symbol, now, in its quote currency; beside it in basis "
    "points of the mid (0.01%). The line is the last minute.",
    "tile.throttled": f"REST calls to the venues shown that the limiter held back {LAST_SECOND}, before they "
    "were sent. The line is the last minute.",
    "tile.gaps": f"Holes in venues' sequence numbers, summed over {SHOWN}, each since it was opened. A gap "
    "makes a book resync. The line is gaps per second, the last minute.",
    "books.side": "Order books that agree with their venue's sequence, of all that are followed at the sources shown.",
}

BOOK: Final = {
    "depth.bid": "Highest price anybody bids, now, at the source looked at.",
    "depth.ask": "Lowest price anybody asks, now, at the source looked at.",
    "depth.spread": "Best ask less best bid, now: in quote currency, and in basis points of the mid (0.01%).",
    "depth.imbalance": "Size of the best 10 bids less that of the best 10 asks, as a share of both, now: +100% "
    "is bids alone, \N{MINUS SIGN}100% asks alone.",
    "depth.within": "Size of the bids and of the asks no farther from the mid than the pointer is, else than is drawn; "
    "≥ where the book is not known as far.",
    "book_map.low": "Resting size of a cell in the faintest colour.",
    "book_map.high": "Resting size of a cell in the strongest colour; the scale between is logarithmic.",
    "metrics.spread": "Best ask less best bid at the end of the newest second drawn, in quote currency.",
    "metrics.imbalance": "Size of the best 10 bids less that of the best 10 asks, as a share of both, at the "
    "end of the newest second drawn.",
    "impact.average": "Average price a market order of the amount chosen would get now, walking the book "
    "level by level as far as it is known, past the best 240 levels as the newest second left it. Fees are not "
    "counted.",
    "impact.bp": "How far that average is from the mid, in basis points (0.01%). '>' means that the known book "
    "ends before the amount is filled.",
    "impact.levels": "Price levels that order would take from.",
    "impact.filled": "How much it would buy or sell, and for how much quote currency.",
    "impact/Amount": "Quote currency spent or received by a market order.",
    "impact/Buy at": "Average price of buying that amount now, from the asks of the known book.",
    "impact/Sell at": "Average price of selling that amount now, into the bids of the known book.",
    "impact/bp": "How far the average before it is from the mid, in basis points (0.01%).",
    "ladder.price": "Price of a level, in quote currency: asks above, bids below, the best in the middle. Joined "
    "levels stand at their price away from the mid: bids round down, asks up.",
    "ladder.size": "Resting size at that price, now.",
    "ladder.sum": "Resting size from the best price to that one.",
    "ladder.last": "Price of the newest trade; the arrow is its change over the window chosen in the bar.",
    "ladder.spread": "Best ask less best bid, now: in quote currency, and in basis points of the mid.",
}

MARKET: Final = {
    "candles.o": "Price of the first trade in the candle under the pointer, else in the newest.",
    "candles.h": "Highest price traded in the candle under the pointer, else in the newest.",
    "candles.l": "Lowest price traded in the candle under the pointer, else in the newest.",
    "candles.c": "Price of the last trade in the candle under the pointer, else in the newest.",
    "candles.t": "When the candle under the pointer opens, UTC, else the newest.",
    "candles.change": "Price of its last trade less that of its first, in percent of the first: of the candle under "
    "the pointer, else of the newest.",
    "candles.v": "Size traded in the candle under the pointer, else in the newest.",
    "candles.vwap": f"Average price of all trades weighted by their size, {WINDOW}.",
    "candles.trades": f"Trades behind the candles, {WINDOW}.",
    "candles.follow": "Whether the chart moves on with the newest data, or stays where it was zoomed to. A "
    "double click brings it back.",
    "tape/Price": "Price of one trade. \N{BLACK UP-POINTING TRIANGLE} a buyer took a resting order, "
    "\N{BLACK DOWN-POINTING TRIANGLE} a seller did.",
    "tape/Size": "Size of that trade.",
    "tape/Time": "When it happened by the venue's clock, UTC; by ours where the venue gives no time.",
    "prices.bid": "Highest bid of all live, synced books of the symbol compared, now, and whose it is.",
    "prices.ask": "Lowest ask of all live, synced books of the symbol compared, now, and whose it is.",
    "prices.between": "Lowest ask anywhere less highest bid anywhere, now. Below zero the venues are crossed: "
    "one bids more than another asks.",
    "prices.apart": "Highest mid less lowest mid of the live, synced books, now.",
    "prices/Bid size": "Size resting at that venue's best bid, now.",
    "prices/Bid": "Highest price bid at that venue, now.",
    "prices/Ask": "Lowest price asked at that venue, now.",
    "prices/Ask size": "Size resting at that venue's best ask, now.",
    "prices/Spread, bp": "Best ask less best bid at that venue, in basis points of its mid (0.01%).",
    "prices/Mid": "Halfway between that venue's best bid and best ask.",
    "prices/Off median, bp": "That venue's mid less the median of all live, synced mids, in basis points of it.",
    "prices/Age": "From our receipt of the newest change of that book to now.",
    "funding.rate": "What longs pay shorts at the next payment (below zero: shorts pay longs), as a share of "
    "the position's value, by the venue's newest word.",
    "funding.apr": "That rate times the payments of 365 days, without compounding.",
    "funding.next": "Time left until the next payment, by the server's clock.",
    "funding.mark": "The venue's mark price, by its newest word.",
    "funding.premium": "Mark price less the mid of the book, in basis points of the mid.",
}

LATENCY: Final = {
    "fact.p50": f"Median latency of the stage chosen, {WINDOW}: half of all samples took no longer.",
    "fact.p90": f"90th percentile of the stage chosen, {WINDOW}: one sample in 10 took longer.",
    "fact.p99": f"99th percentile of the stage chosen, {WINDOW}: one sample in 100 took longer.",
    "fact.p999": f"99.9th percentile of the stage chosen, {WINDOW}: one sample in 1,000 took longer.",
    "fact.max": f"The longest any sample of the stage chosen took, {WINDOW}.",
    "fact.slo": f"Share of the samples of the stage chosen that took longer than the threshold, {WINDOW}.",
    "slo.share": f"Samples that took longer than the threshold, of all samples of the stage chosen, {WINDOW}.",
    "slo.worst": f"The second (of long windows, 30 s) with the largest share of samples above the threshold, {WINDOW}.",
    "slo.unsure": "Samples in the same bucket of the histogram as the threshold: they are counted as not above it.",
    "fact.n": f"Samples of the stage chosen, {WINDOW}.",
    "stages/Samples": f"How often the stage was measured, {WINDOW}.",
    "stages/p50": f"Median of the stage, {WINDOW}; the unit is in the footer.",
    "stages/p90": f"90th percentile of the stage, {WINDOW}.",
    "stages/p99": f"99th percentile of the stage, {WINDOW}.",
    "stages/p99.9": f"99.9th percentile of the stage, {WINDOW}.",
    "stages/Max": f"The longest the stage took, {WINDOW}.",
    "stages/p50 to p99.9, log": "The stretch from median to 99.9th percentile, all stages on one log scale.",
    "stages/p99, last minute": "99th percentile of each of the last 60 whole seconds.",
}

THROUGHPUT: Final = {
    "totals/Messages/s": f"Messages received from that source per second: the mean of the seconds counted, {WINDOW}.",
    "totals/Orders/s": f"Orders matched per second: the mean of the seconds counted, {WINDOW}.",
    "totals/Trades/s": f"Trades per second: the mean of the seconds counted, {WINDOW}.",
    "totals/peak": "The highest second of the rate before it; past 15 minutes the highest mean of 10 s.",
    "totals/In the window": f"Messages and orders, {WINDOW}.",
}

LIMITS: Final = {
    "limits.allowed": f"REST calls that were sent, {WINDOW}.",
    "limits.throttled": f"Calls that our limiter held back before they were sent, {WINDOW}.",
    "limits.refused": f"Answers that said too many (429, 418, 403), {WINDOW}.",
    "limits.waiting": "Calls that wait for room, now.",
    "limits.mean": "Mean time calls that were held back had to wait, since the start.",
    "limits.max": "Longest time a call had to wait, since the start.",
    "endpoints/Weight": "What the newest call took from the venue's budget, in the venue's own weight.",
    "endpoints/Calls": "Calls sent since the start.",
    "endpoints/Throttled": "Of these calls, held back before they were sent.",
    "endpoints/Waiting": "Calls that wait for room, now.",
    "endpoints/Mean": "Mean time from sending to the whole answer, ms, since the start.",
    "endpoints/p99": "99th percentile of the time from sending to the whole answer, ms, since the start.",
    "endpoints/Max": "Longest time from sending to the whole answer, ms, since the start.",
    "endpoints/Refused": "Answers that said too many: 429, 418, 403 or 10006, since the start.",
    "endpoints/Last": "HTTP status of the newest answer.",
}

EXCHANGE: Final = {
    "exchange.clients": "Sockets of clients that are open now. Beside it: cut as too slow, refused as too many.",
    "exchange.orders": f"Commands of clients (placed, changed, canceled) {LAST_SECOND}; beside it all {STARTED}.",
    "exchange.acks": f"Answers to clients' commands {LAST_SECOND}; beside it the commands that wait for theirs.",
    "exchange.fills": f"Trades of clients' orders {LAST_SECOND}; beside it all {STARTED}.",
    "exchange.p50": f"Median time from reading an order off a socket to its answer, {WINDOW}. REST is not measured.",
    "exchange.p99": "99th percentile of the time from reading an order off a socket to its answer, "
    f"{WINDOW}. REST is not measured.",
    "exchange.rejected": f"Calls of clients that were refused {STARTED}, by any door and for any reason.",
    "exchange.trades": f"Trades of the whole exchange {STARTED}, simulated orders with them.",
    "exbook.price": "Price of a level of the built-in exchange, in quote currency. Press a row to take its price.",
    "exbook.size": "Resting size at that price, now.",
    "exbook.mine": "Of that, what the account looked at has resting there.",
    "exbook.last": "Price of the newest trade at the built-in exchange.",
    "exbook.spread": "Best ask less best bid at the built-in exchange, now.",
    "clients/Up": "Time since that client came.",
    "clients/Messages/s": f"Messages from that client {LAST_SECOND}.",
    "clients/Orders": "Orders it placed and canceled since it came.",
    "clients/In flight": "Of these, not answered yet.",
    "clients/Queue": "Bytes that wait to be sent to it. Past 1 MB it does not keep up.",
    "clients/Sent": "Bytes sent to it since it came; not counted for REST.",
    "clients/Conflated": "Market data messages it never got because a newer one took their place.",
    "my-orders/Price": "Limit of an order, price of a trade, in quote currency; a market order has none.",
    "my-orders/Trigger": "Price at which a stop order becomes an order of its type.",
    "my-orders/Average": "Mean price of what was filled, weighted by size.",
    "my-orders/Size": "Size ordered or traded, in base currency.",
    "my-orders/Filled": "Size traded so far, of the size ordered.",
    "my-orders/Fee": "What the exchange took for the trade, in the currency beside it.",
    "my-orders/Order": "Number of the order the trade is of.",
    "my-orders/Trade": "Number of the trade at the built-in exchange.",
    "exchange-stages/Samples": f"How often the stage was measured, {WINDOW}.",
    "exchange-stages/p50": f"Median of the stage, {WINDOW}; the unit is in the panel's title line.",
    "exchange-stages/p95": f"95th percentile of the stage, {WINDOW}.",
    "exchange-stages/p99": f"99th percentile of the stage, {WINDOW}.",
    "exchange-stages/p99.9": f"99.9th percentile of the stage, {WINDOW}.",
    "exchange-stages/Max": f"The longest the stage took, {WINDOW}.",
    "exchange-stages/p50 to p99.9": "The stretch from median to 99.9th percentile, all stages on one log scale.",
    "profile-table/Calls": "Calls of the function while it was profiled.",
    "profile-table/Own, ms": "Time in the function itself, without what it called, ms. Profiling makes it longer.",
    "profile-table/Share": "That own time as a share of all time the thread was busy.",
    "profile-table/With calls": "Time in the function and in everything it called, ms.",
}

HISTORY: Final = {
    "history.rows": "Rows on the disk: of the journal (newest) and of the archive's files.",
    "history.bytes": "Size of journal and archive on the disk.",
    "history.rate": f"Rows that reached the disk {LAST_SECOND}; beside it the age of the newest commit.",
    "history.commit": "99th percentile of the time one commit to the journal takes, of the newest 1,000; beside "
    "it the median.",
    "history.lag": "Rows that wait in memory to be written, in bytes, and as a share of what may wait. When "
    "that is full, rows are given up, which is counted and said.",
    "history.budget": "Space used of what may be used (Retention); beside it how long the rest lasts at this rate.",
    "history.free": "Free space of the disk the store is on.",
    "history.archive": "Time since the newest file was added to the archive.",
    "coverage/Length": "How long nothing was recorded.",
    "coverage/Fetched": "Rows fetched from the venue afterwards to fill the hole.",
}

ALERTS: Final = {
    "alert-rules/Now": "The metric's newest value, as the engine last saw it.",
    "alert-rules/Away": "How far that is from the threshold; 'past' when it is beyond it.",
    "alert-rules/Since": "How long the rule has been in its state.",
    "alert-rules/Fired": "How often it has fired.",
    "alert-firings/Value": "The metric's value when the rule fired.",
    "alert-firings/Lasted": "From the firing to the moment the rule was no longer true.",
    "alert-firings/Ack, UTC": "When somebody acknowledged it, UTC.",
}

HEALTH: Final = {
    "health.lag": "How late the engine's loop woke up: 99th percentile over the last minute; beside it the longest.",
    "health.cpu": "Time on a processor of this process, as a share of one core. More than 100% is more than one core.",
    "health.rss": "Physical memory this process holds.",
    "health.threads": "Threads of this process.",
    "health.lost": f"Rows that were overwritten before pages read them, all pages, {STARTED}.",
    "health.uptime": "Time since the engine started.",
    "health.kernels": "Compiled kernels that are ready, and how long making them ready took.",
    "health.log": "How the built-in exchange's commands are written to disk; beside it the commands not safe "
    "on the disk yet.",
    "matching.sequence": f"Commands the matching engine took {STARTED}.",
    "matching.memory": "Of the memory set aside for books and orders, what is in physical memory.",
    "matching.now": "Time by the matching engine's own clock.",
    "matching/Resting": "Orders that rest in the book, now.",
    "matching/Waiting": "Stop orders that wait for their trigger, now.",
    "matching/Bid levels": "Prices at which there are bids, now.",
    "matching/Ask levels": "Prices at which there are asks, now.",
    "matching/Far": "Price levels too far from the market for the fast ladder, now.",
    "matching/Slots used": "Orders of the symbol as a share of what it has room for.",
    "matching/Share": "Orders of the symbol as a share of what it has room for.",
    "matching/Slots": "How many orders the symbol has room for.",
    "matching/Peak": f"The most orders at once {STARTED}.",
    "load/Now": "The newest second of a count, the newest batch of a measure.",
    "load/p50": "Median over the last minute: of its seconds for a count, of its batches for a measure.",
    "load/p99": "99th percentile over the last minute's batches; counts have too few seconds for one.",
    "load/Max": "The highest of the last minute.",
    "load/In all": f"The count {STARTED}.",
    "load/By second": "The last 60 seconds: a count's own values, a measure's 99th percentiles.",
    "tasks/Restarts": "How often the task failed and was started again.",
    "tasks/Since, UTC": "When it came to its present state, UTC.",
    "sources/Frames": f"Frames received {OPENED}.",
    "sources/Malformed": "Frames that do not match the venue's published format; they are listed below.",
    "sources/Gaps": f"Holes in the venue's sequence numbers {OPENED}.",
    "sources/Resyncs": f"How often a book was fetched anew {OPENED}.",
    "sources/Dropped": f"What was given up unread {OPENED}, because it could not be taken in time.",
    "sources/Late": "Trades that came too late for their candle.",
    "sources/Levels cut": "Far price levels pushed out of a book that was full.",
    "sources/Unchecked": "Tops of book for which the venue sent no quote to compare with.",
    "sources/Top agrees": "Share of tops of book that agreed with the quote the venue itself sent.",
    "rings/Rows": "Rows held now.",
    "rings/Capacity": "Rows there is room for; the oldest makes room for the newest.",
    "rings/Full": "Rows held as a share of the room.",
    "rings/Written": f"Rows written {STARTED}.",
    "rings/Size": "Memory the ring takes.",
    "queues/Depth": "What waits in the queue, now.",
    "queues/Peak": f"The most that waited at once {STARTED}.",
    "queues/Capacity": "The most that may wait.",
    "queues/Dropped": f"What was given up because the queue was full, {STARTED}.",
    "streams/For": "How long the connection has been in its state.",
    "streams/Newest": "Age of its newest market data.",
    "streams/Frames/s": f"Frames received {LAST_SECOND}.",
    "streams/Subscribed": "Topics it is subscribed to.",
    "streams/Reconnects": f"Connects after a failure, {CONNECTED}.",
    "streams/Rotations": f"Planned connects before the venue would cut it, {CONNECTED}.",
    "streams/Stalls": f"Times it was given up because data that should move did not, {CONNECTED}.",
    "streams/Dropped": f"Frames given up unread, {CONNECTED}.",
    "streams/Next try": "Time left until it is tried again.",
    "clocks/Clock": "The venue's clock less ours, by its time endpoint.",
    "clocks/Round trip": "From asking the venue's time to its answer, the newest call.",
    "clocks/Books": "Books that agree with the venue's sequence, of all that are followed there.",
    "clocks/Gaps": f"Holes in the venue's sequence numbers, {CONNECTED}.",
    "clocks/Snapshots due": "Snapshots of books that wait for room in the venue's limits.",
    "clocks/done": f"Snapshots fetched, {CONNECTED}.",
    "clocks/failed": f"How many of those before it failed, {CONNECTED}.",
    "clocks/Polls set": "Endpoints that are fetched at an interval.",
}

WORDS: Final[dict[str, str]] = (
    BAR | OVERVIEW | BOOK | MARKET | LATENCY | THROUGHPUT | LIMITS | EXCHANGE | HISTORY | ALERTS | HEALTH
)

# Figures that say all there is to say themselves.
SELF_EVIDENT: Final = frozenset(
    (
        "badge.word",
        "badge.age",
        "clock",
        "clock.local",
        "time.word",
        "link.word",
        "layout.hidden",
        "own.word",
        "pause.word",
        "quote.last",
        "quote.change",
        "quote.percent",
        "quote.since",
        "quote.symbol",
        "quote.window",
        "alerts.count",
        "alerts.what",
        "alerts.rail",
        "store.word",
        "session.may",
        "past.word",
        "past.date",
        "past.hash",
        "exchange.state",
        "exchange.where",
        "history.state",
        "history.where",
        "health.venues",
        "alert-rules/",
        "coverage/",
    )
)
