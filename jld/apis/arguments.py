"""How every command takes its config: as first word, `--config-file` or `--config`; keys as `key=value`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

_OVERRIDE = re.compile(r"[\w.-]+=")  # a path with a slash before its `=` is none


def add_config_flag(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Adds `--config-file` and `--config`, which both give `config_file`, "" by default."""
    parser.add_argument("--config-file", "--config", default="", metavar="CONFIG", help=meaning)


class ConfigParser(argparse.ArgumentParser):
    """A parser whose options have `config_file` ("" where none was named) and `opts`, the overrides.

    `CONFIG key=value ...` may stand among the flags in any order.

    Args:
        meaning: of the config, for the help.
        further: words that may follow the config, {attribute: value where it is left out}.
        required: whether a command line without a config is refused.
    """

    def __init__(
        self,
        *args: Any,
        meaning: str = "an experiment's config: a file, or the name of one",
        further: Mapping[str, Any] | None = None,
        required: bool = True,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.further, self.required = dict(further or {}), required
        shown = " ".join(["CONFIG", *(f"[{name.upper()}]" for name in self.further), "KEY=VALUE"])
        self.add_argument("words", nargs="*", metavar=shown, help=f"{meaning}; config keys to change")
        add_config_flag(self, "the same as the first word")
        self.add_argument(
            "--opts",
            nargs="*",
            default=[],
            metavar="KEY=VALUE",
            help="config keys to change, such as optimizer.lr=0.005",
        )

    def parse_args(  # type: ignore[override]  # one signature of argparse's several
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As in argparse; the words are sorted into config, further words and overrides."""
        options = self.parse_intermixed_args(args, namespace)
        options.opts = [*options.opts, *filter(_OVERRIDE.match, options.words)]
        words = [word for word in options.words if not _OVERRIDE.match(word)]
        if not options.config_file and words:
            options.config_file = words.pop(0)
        for name, default in self.further.items():
            setattr(options, name, words.pop(0) if words else default)
        del options.words
        if words:
            self.error(f"unrecognized arguments: {' '.join(words)}")
        if self.required and not options.config_file:
            self.error("a config is needed: a file, or the name of one (`jld list` shows them)")
        return options
