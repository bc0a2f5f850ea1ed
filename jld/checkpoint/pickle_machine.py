"""A pickle reader that cannot run anything.

A pickle is a program for a small stack machine, and Python's own machine imports and calls whatever the
program names. This one interprets the same opcodes over inert values: a named global is a `Global`, which is
a pair of strings, and calling it looks the pair up in a table of data builders given by the caller. What is
not in the table becomes a `Placeholder` that remembers only its name.

Opcodes are decoded by the standard library's `pickletools.genops`, which checks lengths and executes nothing.
Source: the opcode descriptions in CPython's `pickletools` documentation.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import BinaryIO

from jld.checkpoint.arrays import NumpyDtype, NumpyRecord
from jld.checkpoint.malformed import BoundedStream, MalformedError

# A training state of a large detector takes some hundred thousand; a step leaves up to 100 bytes behind.
MAX_STEPS = 2_000_000
STEPS_PER_SET = 3  # more: an empty set is three times as large as an empty dictionary
MAX_KEY_BITS = 64  # larger integers can be made to collide in a dict
MAX_KEY_LENGTH = 4096  # names of parameters take some tens of letters
# Text is hashed with a secret, numbers are not: many of them can be made to collide in a dict. An optimizer
# numbers its parameters, and tuples of numbers as keys belong to nothing a checkpoint holds.
MAX_NUMBER_KEYS = 20_000
MAX_TUPLE_KEYS, MAX_TUPLE_PARTS = 500, 16
MAX_GLOBAL_LENGTH = 500
_MARK = object()

# Programs, not data: a checkpoint that names one of these is an attack and is refused as a whole.
REFUSED_MODULES = frozenset(
    "os posix nt subprocess sys shutil socket runpy pty importlib ctypes webbrowser code codeop pickle "
    "_pickle marshal imp pdb timeit bdb cProfile profile platform commands multiprocessing asyncio "
    "http urllib".split()
)
REFUSED_NAMES = frozenset("eval exec execfile compile open __import__ input breakpoint exit quit".split())


class Global:
    """A name the pickle refers to; nothing is imported."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Placeholder:
    """Stands for an object of a class that is not data; holds its name only."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


Builder = Callable[["PickleMachine", tuple], object]


class PickleMachine:
    """Interprets one or several pickles.

    Args:
        builders: (module, name) -> function(machine, arguments) that returns plain data or a record.
        persistent: turns a persistent identifier into a value; None refuses them.
    """

    def __init__(
        self,
        builders: Mapping[tuple[str, str], Builder],
        persistent: Callable[[object], object] | None = None,
    ) -> None:
        self.builders, self.persistent = builders, persistent
        self.skipped: dict[str, None] = {}  # ordered set of names that became placeholders
        self.placeholders: dict[str, Placeholder] = {}
        self.steps = 0
        self.copied, self.size = 0, 0
        self.number_keys = self.tuple_keys = 0
        self.stack: list = []
        self.memo: dict[int, object] = {}

    def run(self, stream: BinaryIO, end: int) -> object:
        """The value of the pickle that starts at the stream's position.

        Raises:
            MalformedError: it is damaged, too long, or asks for something that is not data.
        """
        self.stack, self.memo = [], {}
        self.size = max(self.size, end)
        for opcode, argument, _ in pickletools.genops(BoundedStream(stream, end)):
            self.charge(1)
            if opcode.name == "STOP":
                return self.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise MalformedError(f"it uses the pickle opcode {opcode.name}, which no checkpoint needs")
            step(self, argument)
        raise MalformedError("it is truncated")

    def charge(self, num_steps: int) -> None:
        """Count work, so that a short program cannot keep the reader busy."""
        self.steps += num_steps
        if self.steps > MAX_STEPS:
            raise MalformedError(f"its pickle takes more than {MAX_STEPS} steps")

    def charge_copy(self, num_bytes: int) -> None:
        """Count bytes made from a value; honest pickles use each once and make no more than they hold."""
        self.copied += num_bytes
        if self.copied > self.size:
            raise MalformedError("its pickle unfolds to more bytes than it holds")

    def check_key(self, key: object) -> None:
        """Refuse dictionary keys and set members that are no plain hashable data, or too many of a kind.

        Raises:
            MalformedError: it is a container, a record, very long, or may be made to collide with others.
        """
        parts = key if type(key) is tuple else (key,)
        if len(parts) > MAX_TUPLE_PARTS:
            raise MalformedError(f"a dictionary key or set member has more than {MAX_TUPLE_PARTS} parts")
        self.tuple_keys += type(key) is tuple
        self.number_keys += type(key) in (int, float)
        if self.tuple_keys > MAX_TUPLE_KEYS or self.number_keys > MAX_NUMBER_KEYS:
            raise MalformedError("it uses more numbers as dictionary keys than any checkpoint")
        for part in parts:
            if part is not None and type(part) not in (str, int, float, bool, bytes, Placeholder, Global):
                raise MalformedError(f"a dictionary key or set member is a {type(part).__name__}")
            if type(part) is int and part.bit_length() > MAX_KEY_BITS:
                raise MalformedError("a dictionary key or set member is a huge integer")
            if type(part) in (str, bytes) and len(part) > MAX_KEY_LENGTH:
                raise MalformedError(f"a dictionary key is longer than {MAX_KEY_LENGTH} letters")

    def add_pairs(self, target: object, items: list) -> None:
        """Put alternating keys and values into a dict; a placeholder swallows them."""
        if isinstance(target, Placeholder):
            return
        if type(target) is not dict or len(items) % 2:
            raise MalformedError("its pickle sets items of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.check_key(key)
            target[key] = value

    def raw_bytes(self, raw: object) -> object:
        """The bytes of an array; Python 2 wrote them as Latin-1 text."""
        if not isinstance(raw, str):
            return raw
        self.charge_copy(len(raw))
        return raw.encode("latin-1")

    def skip(self, name: str) -> Placeholder:
        """The placeholder of that name, remembered in `skipped`."""
        self.skipped.setdefault(name)
        return self.placeholders.setdefault(name, Placeholder(name))

    def pop(self) -> object:
        if not self.stack or self.stack[-1] is _MARK:
            raise MalformedError("its pickle takes a value that is not there")
        return self.stack.pop()

    def top(self) -> object:
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list:
        items = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                items.reverse()
                return items
            items.append(value)
        raise MalformedError("its pickle closes a group that was never opened")

    def call(self, function: object, arguments: object) -> object:
        """What calling a global gives: a builder's data or a placeholder."""
        if isinstance(function, Placeholder):
            return function
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise MalformedError("its pickle calls something that is not a name")
        builder = self.builders.get((function.module, function.name))
        return self.skip(str(function)) if builder is None else builder(self, arguments)


def named_global(module: object, name: object) -> Global:
    """The global, unless it is a program.

    Raises:
        MalformedError: it names a way to run code.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        raise MalformedError("its pickle names a global with something that is not text")
    if max(len(module), len(name)) > MAX_GLOBAL_LENGTH:
        raise MalformedError(f"its pickle names a global with more than {MAX_GLOBAL_LENGTH} letters")
    if module.split(".")[0] in REFUSED_MODULES or name.split(".")[0] in REFUSED_NAMES:
        raise MalformedError(
            f"it asks to use {module}.{name}, which runs programs and has no place in a checkpoint"
        )
    return Global(module, name)


def _add_items(machine: PickleMachine, kind: type, items: list) -> None:
    target = machine.top()
    if isinstance(target, Placeholder):
        return
    if type(target) is not kind:
        raise MalformedError(f"its pickle adds items to something that is not a {kind.__name__}")
    if kind is set:
        for item in items:
            machine.check_key(item)
        target.update(items)
    else:
        target.extend(items)


def _push(machine: PickleMachine, value: object) -> None:
    machine.stack.append(value)


def _set_item(machine: PickleMachine, _: object) -> None:
    value, key = machine.pop(), machine.pop()
    machine.add_pairs(machine.top(), [key, value])


def _set_items(machine: PickleMachine, _: object) -> None:
    items = machine.pop_to_mark()
    machine.add_pairs(machine.top(), items)


def _append(machine: PickleMachine, _: object) -> None:
    item = machine.pop()
    _add_items(machine, list, [item])


def _dict(machine: PickleMachine, _: object) -> None:
    result: dict = {}
    machine.add_pairs(result, machine.pop_to_mark())
    machine.stack.append(result)


def _empty_set(machine: PickleMachine, _: object) -> None:
    machine.charge(STEPS_PER_SET)
    machine.stack.append(set())


def _frozenset(machine: PickleMachine, _: object) -> None:
    machine.charge(STEPS_PER_SET)
    items = machine.pop_to_mark()
    for item in items:
        machine.check_key(item)
    machine.stack.append(set(items))


def _tuple_of(size: int) -> Callable:
    def step(machine: PickleMachine, _: object) -> None:
        items = [machine.pop() for _ in range(size)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _pop(machine: PickleMachine, _: object) -> None:
    if not machine.stack:
        raise MalformedError("its pickle takes a value that is not there")
    machine.stack.pop()


def _get(machine: PickleMachine, index: int) -> None:
    if index not in machine.memo:
        raise MalformedError("its pickle refers to a value it never stored")
    machine.stack.append(machine.memo[index])


def _put(machine: PickleMachine, index: int) -> None:
    machine.memo[index] = machine.top()


def _global(machine: PickleMachine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(named_global(module, name))


def _stack_global(machine: PickleMachine, _: object) -> None:
    name, module = machine.pop(), machine.pop()
    machine.stack.append(named_global(module, name))


def _reduce(machine: PickleMachine, _: object) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.stack.append(machine.call(function, arguments))


def _new_object_with_keywords(machine: PickleMachine, _: object) -> None:
    machine.pop()  # keyword arguments: no data builder takes any
    _reduce(machine, None)


def _instance(machine: PickleMachine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    arguments = tuple(machine.pop_to_mark())
    machine.stack.append(machine.call(named_global(module, name), arguments))


def _object(machine: PickleMachine, _: object) -> None:
    items = machine.pop_to_mark()
    if not items:
        raise MalformedError("its pickle makes an object of no class")
    machine.stack.append(machine.call(items[0], tuple(items[1:])))


def _build(machine: PickleMachine, _: object) -> None:
    state, target = machine.pop(), machine.top()
    if isinstance(target, NumpyRecord):
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise MalformedError("the description of a numpy array is damaged")
        shape, dtype, is_fortran, raw = state[-4:]
        target.fill(shape, dtype, is_fortran, machine.raw_bytes(raw))
    elif isinstance(target, NumpyDtype):
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            target.byte_order = ">"
    elif not isinstance(target, Placeholder | dict):
        # A state dict carries `_metadata` as an attribute: nothing in it is needed.
        raise MalformedError("its pickle sets attributes of something that has none")


def _persistent(machine: PickleMachine, identifier: object) -> None:
    if machine.persistent is None:
        raise MalformedError("its pickle refers to data outside the file")
    machine.stack.append(machine.persistent(identifier))


_CONSTANTS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
).split()

# EXT1/2/4 (codes of a process-wide registry) and the out-of-band buffers are left out on purpose.
_STEPS: dict[str, Callable[[PickleMachine, object], None]] = {
    **dict.fromkeys(_CONSTANTS, _push),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": _empty_set,
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "DICT": _dict,
    "FROZENSET": _frozenset,
    "APPEND": _append,
    "APPENDS": lambda machine, _: _add_items(machine, list, machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: _add_items(machine, set, machine.pop_to_mark()),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "POP": _pop,
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    "GET": _get,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_object_with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": _build,
    "PERSID": _persistent,
    "BINPERSID": lambda machine, _: _persistent(machine, machine.pop()),
}
