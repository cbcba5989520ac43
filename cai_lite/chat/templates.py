"""Render chat templates that strangers wrote, within limits of time and size.

A chat template is a program. The sandbox of transformers keeps it from the computer, but not from running for ever or
filling the memory: `'a' * 10**10`, nested loops, macros that call themselves, lists that hold each other. A process of
its own could be killed, but would cost more per prompt than the rendering itself, and a signal reaches the main thread
alone, and no operation inside of C. So what could take long is counted while it runs:

- each turn of a loop, call, filter and test is a step, and takes a look at the clock;
- what an operator, filter, call or literal returns is weighed as if it were printed, and the weights add up;
- what could make much of little in one go (`*`, `**`, `%`, replace, join, tojson, indent) is priced before it runs;
- filters and methods of texts that no chat template needs do not exist.

In this way no operation works on more than a few megabytes, and there are only so many of them.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

SOURCE = 1 << 17  # characters of a template; the longest that we know have a quarter
STEPS = 200_000  # of one rendering, beside one for each character of the conversation
SECONDS = 2.0  # of processor time for one rendering
VALUE = 1 << 20  # characters of one value, and 8 for each element; beside what the conversation itself holds
TOTAL = 1 << 25  # characters of all values together
_NUMBER = 100_000  # the largest number that a call or filter may be given, as the sandbox has for `range`
_BITS = 4096  # of a whole number
_ELEMENT = 8  # characters that an element of a list counts for

_FILTERS = """
    abs attr batch capitalize count d default dictsort e escape first float forceescape format groupby indent int items
    join last length list lower map max min random reject rejectattr replace reverse round safe select selectattr slice
    sort string striptags sum title tojson trim truncate unique upper wordcount
"""
_METHODS = """
    capitalize casefold count endswith find format index isalnum isalpha isascii isdecimal isdigit islower isnumeric
    isspace istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit
    rstrip split splitlines startswith strip swapcase title upper
"""  # of texts
_WIDTH = re.compile(r"%[^%a-zA-Z]*(?:\d{4}|\*)")  # of a field of `%`


class TemplateLimit(Exception):
    """A chat template goes beyond a limit; the message says which."""


class _Meter:
    """Counts what one rendering costs."""

    def __init__(self, given: int) -> None:
        self.begun, self.steps, self.weight = time.thread_time(), 0, 0
        self.most, self.value, self.total = STEPS + given, VALUE + 4 * given, TOTAL + 64 * given

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.most or time.thread_time() - self.begun > SECONDS:
            raise TemplateLimit("it runs for too long, as an endless loop would")

    def price(self, size: float) -> None:
        """Refuse an operation whose result would be this large."""
        if size > self.value:
            raise TemplateLimit("it makes a text or list of millions of characters")

    def made(self, value: Any) -> Any:
        weight = _weight(value, self.value)
        self.price(weight)
        self.weight += weight
        if self.weight > self.total:
            raise TemplateLimit("it makes too many long texts and lists")
        return value


_now = threading.local()


def _meter() -> _Meter:
    meter: _Meter = _now.meter
    return meter


@contextmanager
def _metered(given: int) -> Iterator[None]:
    _now.meter = _Meter(given)
    try:
        yield
    finally:
        del _now.meter


def apply_template(tokenizer: Any, turns: list[dict[str, str]], source: str | None = None, **variables: Any) -> str:
    """Return the text of a conversation, as the tokenizer's `apply_chat_template` renders it.

    `source`: the template to use in place of the tokenizer's own. Of a tokenizer that renders by code of its own class,
    that code is used.

    Raises:
        TemplateLimit: rendering takes too long or too much. Exception: whatever else the template raises.
    """
    from transformers import PreTrainedTokenizerBase

    own = type(tokenizer).apply_chat_template
    if own is not PreTrainedTokenizerBase.apply_chat_template:
        given = {} if source is None else {"chat_template": source}
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, **given, **variables)
        return text
    source = tokenizer.get_chat_template(source)
    if not isinstance(source, str):
        raise TypeError("the chat template is not a text")
    if len(source) > SOURCE:
        raise TemplateLimit(f"it has {len(source):,} characters, more than {SOURCE:,}")
    special = {
        name: [str(each) for each in value] if isinstance(value, list | tuple) else str(value)
        for name, value in tokenizer.special_tokens_map.items()
    }
    with _metered(sum(len(turn["content"]) for turn in turns)):
        rendered: str = _compiled(source).render(
            **{"messages": turns, "tools": None, "documents": None, **special, **variables}
        )
    return rendered


@lru_cache(maxsize=64)
def _compiled(source: str) -> Any:
    return _environment().from_string(source)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """Return the environment of transformers, with its filters and functions, but measured."""
    import jinja2
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.visitor import NodeTransformer
    from transformers.utils.chat_template_utils import _compile_jinja_template

    class Measured(NodeTransformer):
        """Lets loops and comparisons count, and literals and `~` be weighed."""

        def visit_For(self, node: Any) -> Any:
            if node.recursive:
                raise TemplateLimit("it has a recursive loop")
            self.generic_visit(node)
            node.iter = _filtered(node.iter, "_steps")
            return node

        def visit_Concat(self, node: Any) -> Any:
            self.generic_visit(node)
            return _filtered(nodes.Tuple(node.nodes, "load", lineno=node.lineno), "_concat")

        def visit_List(self, node: Any) -> Any:
            self.generic_visit(node)
            return _filtered(node, "_made")

        visit_Dict = visit_List

        def visit_Compare(self, node: Any) -> Any:
            self.generic_visit(node)
            return _filtered(node, "_step")

        def visit_Tuple(self, node: Any) -> Any:
            self.generic_visit(node)
            return _filtered(node, "_made") if node.ctx == "load" else node

    def _filtered(node: Any, name: str) -> Any:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)

    class Bounded(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"+", "*", "**", "%"})
        concat = staticmethod(_concat)  # of the output, of macros, and of blocks that are set

        def _generate(self, source: Any, name: Any, filename: Any, defer_init: bool = False) -> str:
            return super()._generate(Measured().visit(source), name, filename, defer_init)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _price_operator(operator, left, right)
            return _meter().made(super().call_binop(context, operator, left, right))

        def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
            args = _arguments(args, kwargs)
            owner = getattr(__obj, "__self__", None)
            if isinstance(owner, str):
                _price_text(__obj.__name__, owner, args)
            return _meter().made(super().call(__context, __obj, *args, **kwargs))

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            known = not isinstance(obj, str) or attr in methods
            return known and super().is_safe_attribute(obj, attr, value)

        def wrap_str_format(self, value: Any) -> Any:
            found = super().wrap_str_format(value)
            text = getattr(value, "__self__", "")
            if found is not None and (len(text) > 1000 or text.count("{") > 20 or re.search(r":.*\d{3}|:.*\{", text)):
                raise TemplateLimit("it formats a text with long fields")
            return found

    methods = frozenset(_METHODS.split())
    theirs = _compile_jinja_template("").environment
    ours = Bounded(
        trim_blocks=theirs.trim_blocks,
        lstrip_blocks=theirs.lstrip_blocks,
        extensions=[type(extension) for extension in theirs.extensions.values()],
    )
    ours.globals |= theirs.globals
    del ours.globals["lipsum"]
    ours.globals["strftime_now"] = _brief(theirs.globals["strftime_now"])
    known = {name: theirs.filters[name] for name in _FILTERS.split()}
    ours.filters = {name: _guarded(name, function) for name, function in known.items()}
    internal = {"_steps": _steps, "_step": _step, "_concat": _concat, "_made": lambda value: _meter().made(value)}
    # With the context as an argument, they are not tried at compile time.
    ours.filters |= {name: jinja2.pass_context(_second(function)) for name, function in internal.items()}
    ours.tests = {name: _stepping(function) for name, function in theirs.tests.items()}
    return ours


def _weight(value: Any, limit: int) -> int:
    """Return how many characters a value has if it is printed, about; beyond `limit` it stops counting."""
    if isinstance(value, str):
        return len(value)
    total, waiting = 0, [value]
    while waiting and total <= limit:
        each = waiting.pop()
        attributes = getattr(each, "_Namespace__attrs", None)  # of a jinja namespace
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, int):
            if each.bit_length() > _BITS:
                raise TemplateLimit("it makes a huge number")
            total += _ELEMENT
        else:
            total += _ELEMENT
            if isinstance(each, Mapping):
                waiting += [*each, *each.values()]
            elif isinstance(each, list | tuple | set | frozenset):
                waiting += each
            elif isinstance(attributes, dict):
                waiting += attributes.values()
    return total


def _price_operator(operator: str, left: Any, right: Any) -> None:
    whole = isinstance(left, int) and isinstance(right, int)
    if operator == "%" and isinstance(left, str):
        if _WIDTH.search(left):
            raise TemplateLimit("it formats a text with long fields")
    elif (operator == "**" and whole and left.bit_length() * abs(right) > _BITS) or (
        operator == "*" and whole and left.bit_length() + right.bit_length() > _BITS
    ):
        raise TemplateLimit("it makes a huge number")
    elif operator == "*" and not whole:
        text, times = (left, right) if isinstance(right, int) else (right, left)
        if isinstance(times, int):
            _meter().price(_weight(text, _meter().value) * times)


def _price_text(name: str, text: str, args: tuple[Any, ...]) -> None:
    """Refuse a call of a string method, such as `replace`, whose result would be too large."""
    if name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        _meter().price(len(text) + text.count(args[0]) * len(args[1]))
    elif name == "join" and args and isinstance(args[0], str | list | tuple):
        _meter().price(len(text) * len(args[0]) + _weight(args[0], _meter().value))


def _arguments(args: Iterable[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Count a step and return the arguments of a call: iterators are read, and large numbers refused."""
    _meter().step()
    args = tuple(_read(each) for each in args)
    if any(isinstance(each, int) and abs(each) > _NUMBER for each in (*args, *kwargs.values())):
        raise TemplateLimit("it calls a function with a huge number")
    return args


def _read(value: Any) -> Any:
    """Return an iterator as a list, so that its size is known."""
    return _meter().made(list(_steps(value))) if isinstance(value, Iterator) else value


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    first = 1 if getattr(function, "jinja_pass_arg", None) is not None else 0

    @wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        before, value, meter = args[:first], _read(args[first]), _meter()
        more = _arguments(args[first + 1 :], kwargs)
        if name == "format" and isinstance(value, str):
            _price_operator("%", value, more)
        elif name == "replace":
            _price_text(name, str(value), more)
        elif name == "join":
            meter.price(len(value) * len(str([*more, *kwargs.values(), ""][0])) + _weight(value, meter.value))
        elif name in ("tojson", "indent"):
            wide = sum(
                each if isinstance(each, int) else _weight(each, meter.value) for each in (*more, *kwargs.values())
            )
            weight = _weight(value, meter.value)
            meter.price(weight + wide * (1 + str(value).count("\n") if name == "indent" else weight // _ELEMENT))
        return meter.made(function(*before, value, *more, **kwargs))

    return filtered


def _stepping(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def tested(*args: Any, **kwargs: Any) -> Any:
        _meter().step()
        return function(*args, **kwargs)

    return tested


def _second(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda context, value: function(value)


def _brief(function: Callable[[str], str]) -> Callable[[str], str]:
    def brief(format: str) -> str:
        if len(format) > 200 or re.search(r"\d{3}", format):
            raise TemplateLimit("it writes a date with long fields")
        return function(format)

    return brief


def _steps(values: Iterable[Any]) -> Iterator[Any]:
    meter = _meter()
    for value in values:
        meter.step()
        yield value


def _step(value: Any) -> Any:
    _meter().step()
    return value


def _concat(parts: Iterable[Any]) -> str:
    meter, texts, size = _meter(), [], 0
    for part in parts:
        texts.append(part if isinstance(part, str) else str(part))
        size += len(texts[-1])
        meter.price(size)
    made: str = meter.made("".join(texts))
    return made
