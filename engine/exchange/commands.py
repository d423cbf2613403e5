"""What pages tell the exchange to do: orders for an account, money, keys, faults, halts. Each says what came of it.

BadCommand is one sentence for the user; nothing was done then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from engine.errors import BadCommand, UserError
from engine.exchange.admin import FaucetOrder
from engine.exchange.dialects.native import KIND_NAMES, KINDS, PRICED, SIDES, TIMES
from engine.exchange.faults import Fault
from engine.exchange.floor import Floor, ask
from engine.exchange.house import House
from engine.exchange.trading import Order, Outcome, sentence
from engine.exchange.units import Units
from engine.matching.orders import CONTINUOUS, HALTED

Arguments = dict[str, Any]
Command = Callable[[House, Arguments], Coroutine[Any, Any, dict[str, Any]]]
NAME_MAX: Final = 80
GROUPED: Final = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?")


async def place(house: House, args: Arguments) -> dict[str, Any]:
    """An order of an account; texts as a ticket has them."""
    floor = house.floor
    units = _units(floor, _text(args, "symbol"))
    kind = _choice(args, "type", KINDS)
    order = Order(
        _account(floor, args),
        units.index,
        _choice(args, "side", SIDES),
        kind,
        _number(units.lots, args, "size"),
        _number(units.ticks, args, "price") if kind in PRICED else 0,
        time_in_force=_choice(args, "tif", TIMES, "gtc"),
        post_only=args.get("post_only") is True,
        dialect="page",
    )
    if kind not in (KINDS["limit"], KINDS["market"]):
        order.trigger_ticks = _number(units.ticks, args, "trigger")
    outcome = await ask(floor.desk.place, order)
    _check(floor, outcome)
    filled = units.size_text(outcome.filled_lots)
    what = f"{args['side']} {units.size_text(order.lots)} {units.instrument.base}"
    average = (
        f" at {units.price_text(outcome.filled_notional // outcome.filled_lots)}"
        if outcome.filled_lots
        else ""
    )
    text = f"{what}: {outcome.status.replace('_', ' ')}" + (f", {filled} filled{average}" if average else "")
    if order.reason:
        text += f" ({sentence(order.reason)})"
    return {"order_id": order.order_id, "status": outcome.status, "filled": filled, "sentence": text}


async def cancel(house: House, args: Arguments) -> dict[str, Any]:
    """Cancel one order."""
    floor = house.floor
    outcome = await ask(floor.desk.cancel, _account(floor, args), _order_id(args))
    _check(floor, outcome)
    return {"sentence": "canceled"}


async def replace(house: House, args: Arguments) -> dict[str, Any]:
    """Give a resting order another price and open quantity."""
    floor = house.floor
    account, order_id = _account(floor, args), _order_id(args)
    order = floor.desk.order(account, order_id)
    if order is None or not order.is_open:
        raise BadCommand("the order is not open any more")
    units = _units(floor, floor.simulator.instruments[order.symbol].symbol)
    price, lots = _number(units.ticks, args, "price"), _number(units.lots, args, "size")
    outcome = await ask(floor.desk.amend, account, order_id, price, lots)
    _check(floor, outcome)
    return {"sentence": f"{KIND_NAMES[order.kind]} order changed: {outcome.status.replace('_', ' ')}"}


async def cancel_all(house: House, args: Arguments) -> dict[str, Any]:
    """Cancel all orders of an account, in a symbol or (without one) in all."""
    floor = house.floor
    account = _account(floor, args)
    wanted = [_units(floor, _text(args, "symbol"))] if args.get("symbol") else floor.units.values()
    count = 0
    for units in wanted:
        outcome = await ask(floor.desk.cancel_all, account, units.index)
        _check(floor, outcome)
        count += outcome.count
    return {"count": count, "sentence": f"{count} canceled"}


async def faucet(house: House, args: Arguments) -> dict[str, Any]:
    """Pay an account in."""
    amount = _text(args, "amount")
    if GROUPED.fullmatch(amount):
        amount = amount.replace(",", "")
    order = FaucetOrder(_text(args, "asset"), amount, _text(args, "account"))
    paid = await house.admin.pay(order)
    return {**paid, "sentence": f"{paid['free']} {paid['asset']} free now"}


async def create_key(house: House, args: Arguments) -> dict[str, Any]:
    """A new key; the only time its secret is told."""
    label = args.get("label")
    key = house.admin.create_key(
        _text(args, "account"), label if isinstance(label, str) else "", trade=args.get("trade") is not False
    )
    return {"api_key": key.api_key, "secret": key.secret, "account": key.name}


async def revoke_key(house: House, args: Arguments) -> dict[str, Any]:
    """Forget a key."""
    if not house.admin.revoke(_text(args, "api_key")):
        raise BadCommand("there is no such key any more")
    return {"sentence": "revoked"}


async def fault(house: House, args: Arguments) -> dict[str, Any]:
    """Order a fault."""
    try:
        ordered = msgspec.convert({k: v for k, v in args.items() if v not in ("", None)}, Fault)
    except msgspec.ValidationError as error:
        raise BadCommand(f"fault: {error}") from None
    return {"id": house.server.inject(ordered)}


async def clear_fault(house: House, args: Arguments) -> dict[str, Any]:
    """Forget one fault, or all (0)."""
    number = args.get("id")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise BadCommand("a fault is named by its number, 0 = all")
    return {"forgotten": house.server.faults.clear(number)}


async def halt(house: House, args: Arguments) -> dict[str, Any]:
    """Halt a symbol, or let it trade again."""
    units = _units(house.floor, _text(args, "symbol"))
    halted = args.get("halted") is True
    floor, faults = house.floor, house.order_faults
    held = faults.holds(units.index)
    if not held:
        outcome = await ask(floor.desk.set_phase, units.index, HALTED if halted else CONTINUOUS)
        _check(floor, outcome)
    faults.note_halt(units.index, halted)
    later = " when the fault that halts it is over" if held else ""
    return {"sentence": f"{units.instrument.symbol} {'is halted' if halted else f'trades again{later}'}"}


COMMANDS: Final[dict[str, Command]] = {
    "exchange_place": place,
    "exchange_cancel": cancel,
    "exchange_replace": replace,
    "exchange_cancel_all": cancel_all,
    "exchange_faucet": faucet,
    "exchange_create_key": create_key,
    "exchange_revoke_key": revoke_key,
    "exchange_fault": fault,
    "exchange_clear_fault": clear_fault,
    "exchange_halt": halt,
}


async def carry_out(house: House, name: str, args: Arguments) -> dict[str, Any]:
    """Do one of COMMANDS. BadCommand when it cannot be done."""
    try:
        return await COMMANDS[name](house, args)
    except UserError as error:
        raise BadCommand(str(error)) from None


def _check(floor: Floor, outcome: Outcome) -> None:
    """BadCommand when it was refused; counted like any client's refusal."""
    if outcome.reason:
        floor.clients.note_reject("page", outcome.reason)
        raise BadCommand(sentence(outcome.reason))


def _text(args: Arguments, name: str) -> str:
    value = args.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise BadCommand(f"{name}: 1 to {NAME_MAX} characters of text are needed")
    return value.strip()


def _account(floor: Floor, args: Arguments) -> int:
    name = _text(args, "account")
    number = floor.accounts.numbers.get(name)
    if number is None:
        raise BadCommand(f"account: there is no {name!r}")
    return number


def _units(floor: Floor, symbol: str) -> Units:
    for units in floor.units.values():
        if symbol in (units.instrument.symbol, units.instrument.native):
            return units
    raise BadCommand(f"symbol: there is no {symbol!r}")


def _choice(args: Arguments, name: str, codes: dict[str, int], usual: str = "") -> int:
    value = args.get(name) or usual
    found = codes.get(value) if isinstance(value, str) else None
    if found is None:
        raise BadCommand(f"{name}: choose one of {', '.join(codes)}")
    return found


def _number(parse: Callable[[str], int], args: Arguments, name: str) -> int:
    text = _text(args, name)
    if "," in text:
        if not GROUPED.fullmatch(text):
            raise BadCommand(f"{name}: a comma only parts thousands, as in 1,000.5; write 0.5 with a point")
        text = text.replace(",", "")
    try:
        value = parse(text)
    except ValueError as error:
        raise BadCommand(f"{name}: {error}") from None
    if not 0 < value < 1 << 41:
        raise BadCommand(f"{name}: it must be above 0 and not that large")
    return value


def _order_id(args: Arguments) -> int:
    value = args.get("order_id")
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadCommand("order_id: a whole number is needed")
    return value
