"""Balances, positions and fees: what is reserved, what a trade moves, what an order may use.

Money never appears or vanishes: each function moves atoms between free, reserved and fees. Amounts of one order stay
below MAX_ATOMS and supplies below MAX_SUPPLY, so no sum overflows; linear cash has no such bound, so it is kept
in two words.
"""

from __future__ import annotations

from typing import Any, Final

from engine.market.batches import BUY
from engine.matching.compiled import compiled
from engine.matching.layout import (
    A_CASH_FEES_LOW,
    A_FEES,
    ACCOUNT_SHIFT,
    B_FREE,
    B_RESERVED,
    CASH_SHIFT,
    H_ACCOUNTS,
    H_ASSETS,
    P_BUY_LOTS,
    P_CASH_LOW,
    P_OPEN,
    P_POSITION,
    P_SELL_LOTS,
    S_ACCOUNTING,
    S_BASE,
    S_LOT_ATOMS,
    S_NOTIONAL_ATOMS,
    S_PARAMETERS,
    S_QUOTE,
    SELLING,
    Words,
    assets_of,
    balances_of,
    positions_of,
    state_of,
)
from engine.matching.orders import LINEAR, MAKER_PPM, SPOT, TAKER_PPM, UNACCOUNTED, Matrix

MILLION: Final = 1_000_000
CASH_LOW: Final = (1 << CASH_SHIFT) - 1


@compiled
def share(amount: int, ppm: int) -> Any:
    """floor(amount * ppm / 10**6) without overflow."""
    return amount // MILLION * ppm + amount % MILLION * ppm // MILLION


@compiled
def add_cash(row: Any, column: int, amount: int) -> None:
    """Add to the two words from `column` on."""
    low = row[column] + amount
    row[column + 1] += low >> CASH_SHIFT
    row[column] = low & CASH_LOW


@compiled
def hold(memory: Words, symbol: int, meta: int, price: int, lots: int, orders: int) -> None:
    """Count `lots` of an open order and reserve for them; negative: no longer. `price` 0 = no limit.

    `orders` is 1 for an order that becomes open, -1 for one that ends, else 0.
    """
    state = state_of(memory)[symbol]
    if state[S_ACCOUNTING] == UNACCOUNTED:
        return
    account = meta >> ACCOUNT_SHIFT
    position = positions_of(memory)[symbol * memory[H_ACCOUNTS] + account]
    selling = meta & SELLING != 0
    position[P_OPEN] += orders
    position[P_SELL_LOTS if selling else P_BUY_LOTS] += lots
    if state[S_ACCOUNTING] == SPOT:
        if selling:
            asset = state[S_BASE]
            atoms = lots * state[S_LOT_ATOMS]
        else:
            asset = state[S_QUOTE]
            atoms = price * lots * state[S_NOTIONAL_ATOMS]
        balance = balances_of(memory)[account * memory[H_ASSETS] + asset]
        balance[B_FREE] -= atoms
        balance[B_RESERVED] += atoms


@compiled
def affordable(memory: Words, symbol: int, account: int, price: int) -> Any:
    """How many lots the account's free quote balance pays."""
    state = state_of(memory)[symbol]
    free = balances_of(memory)[account * memory[H_ASSETS] + state[S_QUOTE], B_FREE]
    return free // (price * state[S_NOTIONAL_ATOMS])


@compiled
def _trade_linear(memory: Words, symbol: int, account: int, lots: int, price: int, ppm: int) -> Any:
    """The fee of one party; `lots` negative if it sells."""
    state = state_of(memory)[symbol]
    notional = price * lots * state[S_NOTIONAL_ATOMS]
    fee = share(abs(notional), ppm)
    position = positions_of(memory)[symbol * memory[H_ACCOUNTS] + account]
    position[P_POSITION] += lots
    add_cash(position, P_CASH_LOW, -notional)
    add_cash(position, P_CASH_LOW, -fee)
    add_cash(assets_of(memory)[state[S_QUOTE]], A_CASH_FEES_LOW, fee)
    return fee


@compiled
def _trade_spot(
    memory: Words, account: int, gives: int, given: int, column: int, gets: int, got: int, ppm: int
) -> Any:
    """The fee of one party, that gives from its free or reserved column and gets less the fee."""
    assets = memory[H_ASSETS]
    balances = balances_of(memory)
    fee = share(got, ppm)
    balances[account * assets + gives, column] -= given
    balances[account * assets + gets, B_FREE] += got - fee
    assets_of(memory)[gets, A_FEES] += fee
    return fee


@compiled
def settle(memory: Words, symbol: int, side: int, account: int, maker: int, price: int, lots: int) -> Any:
    """(taker's fee, maker's fee) of a trade, after moving what it moves. `side` is the taker's.

    The maker's open quantity goes down by `lots`.
    """
    state = state_of(memory)[symbol]
    accounting = state[S_ACCOUNTING]
    if accounting == UNACCOUNTED:
        return 0, 0
    accounts = memory[H_ACCOUNTS]
    taker_ppm = state[S_PARAMETERS + TAKER_PPM]
    maker_ppm = state[S_PARAMETERS + MAKER_PPM]
    maker_side = P_SELL_LOTS if side == BUY else P_BUY_LOTS
    positions_of(memory)[symbol * accounts + maker, maker_side] -= lots
    if accounting == LINEAR:
        fee = _trade_linear(memory, symbol, account, side * lots, price, taker_ppm)
        maker_fee = _trade_linear(memory, symbol, maker, -side * lots, price, maker_ppm)
        return fee, maker_fee
    base = state[S_BASE]
    quote = state[S_QUOTE]
    size = lots * state[S_LOT_ATOMS]
    worth = price * lots * state[S_NOTIONAL_ATOMS]
    if side == BUY:
        fee = _trade_spot(memory, account, quote, worth, B_FREE, base, size, taker_ppm)
        maker_fee = _trade_spot(memory, maker, base, size, B_RESERVED, quote, worth, maker_ppm)
    else:
        fee = _trade_spot(memory, account, base, size, B_FREE, quote, worth, taker_ppm)
        maker_fee = _trade_spot(memory, maker, quote, worth, B_RESERVED, base, size, maker_ppm)
    return fee, maker_fee


@compiled
def settle_auction(
    memory: Words, symbol: int, buyer: int, seller: int, limit: int, price: int, lots: int
) -> Any:
    """(buyer's fee, seller's fee) of a trade between two resting orders; `limit` is the buy order's."""
    state = state_of(memory)[symbol]
    accounting = state[S_ACCOUNTING]
    if accounting == UNACCOUNTED:
        return 0, 0
    accounts = memory[H_ACCOUNTS]
    ppm = state[S_PARAMETERS + MAKER_PPM]
    positions = positions_of(memory)
    positions[symbol * accounts + buyer, P_BUY_LOTS] -= lots
    positions[symbol * accounts + seller, P_SELL_LOTS] -= lots
    if accounting == LINEAR:
        fee = _trade_linear(memory, symbol, buyer, lots, price, ppm)
        seller_fee = _trade_linear(memory, symbol, seller, -lots, price, ppm)
        return fee, seller_fee
    base = state[S_BASE]
    quote = state[S_QUOTE]
    size = lots * state[S_LOT_ATOMS]
    worth = price * lots * state[S_NOTIONAL_ATOMS]
    better = (limit - price) * lots * state[S_NOTIONAL_ATOMS]
    balances = balances_of(memory)
    balances[buyer * memory[H_ASSETS] + quote, B_RESERVED] -= better
    balances[buyer * memory[H_ASSETS] + quote, B_FREE] += better
    fee = _trade_spot(memory, buyer, quote, worth, B_RESERVED, base, size, ppm)
    seller_fee = _trade_spot(memory, seller, base, size, B_RESERVED, quote, worth, ppm)
    return fee, seller_fee


def cash(row: Matrix, column: int) -> int:
    """The two words from `column` on, as one number without bounds."""
    return int(row[column]) + (int(row[column + 1]) << CASH_SHIFT)
