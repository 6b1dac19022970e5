"""`turnstream name` and `turnstream words`: names and words for results that were written before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from turnstream.errors import PeopleError, TurnstreamError
from turnstream.events import Final
from turnstream.people.naming import name_key
from turnstream.people.store import PeopleStore

from .correct import corrected
from .exports.document import Document
from .options import ResultOptions
from .outputs import Outputs
from .results import Result, read_result, write_result
from .run import console_on, standard_output
from .terminal.summary import print_summary

Names = Mapping[str, str | None]


def name(options: ResultOptions) -> int:
    """Correct and name speakers of a result in JSON, in its own file; then write and show it like `turnstream file`."""
    result = read_result(options.result)
    if not result.is_whole_file:
        raise TurnstreamError(f"{options.result}: expected a result in JSON, as --keep and --out FILE.json write it")
    result = corrected(result, options.edits)
    named = replace(result, final=with_names(result.final, dict(options.names)))
    if options.save:
        _check_voices(named, options)
    outputs = Outputs(standard_output(), options.outputs, [_path(named)])
    write_result(options.result, named)
    if options.save:
        _save_voices(named, options)
    _show(outputs.final(_path(named), named.final))
    return 0


def words(options: ResultOptions) -> int:
    """Give the words of a transcript to the speakers of a result: in files, or on standard output as it came."""
    result = read_result(options.result)
    outputs = Outputs(standard_output(), options.outputs, [_path(result)])
    document = outputs.final(_path(result), result.final)
    if not (options.outputs.out or options.outputs.picture) and document.transcript:
        standard_output().write(document.transcript.with_speakers(document.lines))
    return 0


def with_names(final: Final, names: Names) -> Final:
    """The result with these speakers named; None takes a name away. Raises TurnstreamError for who is not in it."""
    there = [talk.speaker for talk in final.speakers if talk.speaker]
    for speaker in names:
        if speaker not in there:
            raise TurnstreamError(f"expected one of {', '.join(there) or 'no speakers'}, got {speaker}")
    now = {talk.speaker: names.get(talk.speaker or "", talk.name) for talk in final.speakers}
    taken = [name_key(each) for each in now.values() if each]
    if double := next((each for each in now.values() if each and taken.count(name_key(each)) > 1), None):
        raise TurnstreamError(f"two speakers would be called {double}: expected a name of their own for each, or S3=S1")
    turns = tuple(replace(turn, name=now.get(turn.speaker)) for turn in final.turns)
    talks = tuple(
        replace(talk, name=now[talk.speaker], confidence=None if talk.speaker in names else talk.confidence)
        for talk in final.speakers
    )
    return replace(final, turns=turns, speakers=talks)


def _path(result: Result) -> Path:
    """Stands for the recording: results are called by its name."""
    return Path(f"{result.final.recording}.audio")


def _check_voices(result: Result, options: ResultOptions) -> None:
    for speaker, given in options.names:
        if given is not None and (result.voices is None or speaker not in result.voices.of):
            raise PeopleError(
                f"{options.result} has no voice of {speaker}: expected a result of --keep with enough talk"
            )


def _save_voices(result: Result, options: ResultOptions) -> None:
    assert result.voices is not None
    store = PeopleStore(options.people)
    for speaker, given in options.names:
        if given is not None:
            store.save(given, result.voices.of[speaker], result.voices.model, replace_old=options.replace)


def _show(document: Document) -> None:
    title = document.recording
    print_summary(console_on(standard_output()), title, document.final.duration_s, document)
