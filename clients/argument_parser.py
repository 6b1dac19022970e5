"""argparse with its errors in one sentence, and with options from a file."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from turnstream.errors import printable

from .option_file import read_options


class Parser(argparse.ArgumentParser):
    """argparse with its errors in one sentence, and with options from a file."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See argparse; what the file of `--config` says comes first, so that the command line overrides it."""
        if "--config" in self._option_string_actions:
            finder = Parser(prog=self.prog, add_help=False)
            finder.add_argument("--config")
            if path := super(Parser, finder).parse_known_args(args)[0].config:
                self.set_defaults(**read_options(self.prog.split()[-1], path, self._optional_actions()))
        return super().parse_known_args(args, namespace)

    def _optional_actions(self) -> list[argparse.Action]:
        """But for those of which one has to be on the command line."""
        groups = [group for group in self._mutually_exclusive_groups if group.required]
        needed = [action for group in groups for action in group._group_actions]
        return [action for action in self._actions if action not in needed]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; exit code 2."""
        self.exit(2, f"turnstream: {printable(message)} (see {self.prog} --help)\n")


class Exactly(argparse.Action):
    """One number for both ends of a range."""

    def __call__(
        self, parser: argparse.ArgumentParser, args: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        """See argparse."""
        args.min_speakers = args.max_speakers = value
