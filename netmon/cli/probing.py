"""What asks and answers beside a whole netmon: `netmon probe-agent`, `netmon reflector`, and `netmon rehearse`."""

from __future__ import annotations

import asyncio
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from netmon import config as configuration
from netmon.active_probe.rehearsed import DELAY_MAX_S, FILE_BYTES_MAX, Fault, Faults
from netmon.cli.common import AsJson, ConfigFile, config_in_use, exit_codes
from netmon.config import Config, probe_agent
from netmon.config.probe import rehearsal_file
from netmon.errors import ConfigError
from netmon.inventory import schema
from netmon.inventory.kinds import duration
from netmon.log import set_up
from netmon.show import printable

_PASSED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("probe-agent")(agent)
    app.command("reflector", context_settings=_PASSED_ON)(reflector)
    app.command()(rehearse)


# --- A vantage by itself. ---


def agent(
    config: Annotated[Path, typer.Option("-c", "--config", help="Its configuration: see config/probe-agent.yml.")],
    check: Annotated[bool, typer.Option("--check", help="Say whether all is right with it, and end.")] = False,
) -> None:
    """Ask over the lines of a region from this machine, for a netmon elsewhere. Until SIGTERM or Ctrl-C; SIGHUP reads all again."""
    with exit_codes(endless=True):
        loaded = probe_agent.load(config)
        settings = probe_agent.agent_settings(loaded)
        for doubt in configuration.agent_warnings(loaded.redis, loaded.keepalives):
            print(f"warning: {doubt}", file=sys.stderr)
        if check:
            anchors = len(settings.anchors)
            print(
                f"{config}: ok. {settings.vantage_id} asks over {len(settings.lines)} line(s), with {anchors} anchor(s)"
            )
            return
        from netmon.supervisor import probe_agent as kept  # noqa: PLC0415 - not for `netmon rehearse`
        from netmon.supervisor.service import lock_data_dir  # noqa: PLC0415 - the same

        set_up(loaded.log.level, configuration.log_format(loaded), role="agent")
        lock = lock_data_dir(loaded.data_dir)
        try:
            asyncio.run(kept.run(settings, lambda: probe_agent.agent_settings(probe_agent.load(config))))
        finally:
            os.close(lock)


# --- A far end. ---


def reflector(context: typer.Context) -> None:
    """Answer STAMP questions (RFC 8762) at the far end of a line; --listen ADDRESS:PORT is needed, --help tells the rest."""
    if not {"--help", "-h"}.isdisjoint(context.args):
        from netmon.active_probe.stamp.__main__ import main  # noqa: PLC0415 - for its help alone; else it has a process of its own

        raise typer.Exit(main(context.args))
    command = [sys.executable, "-m", "netmon.active_probe.stamp", *context.args]
    os.execv(command[0], command)  # noqa: S606 - the reflector is to have this process's pid


# --- Rehearsals. ---


def rehearse(
    lines: Annotated[
        list[str] | None, typer.Argument(metavar="[LINE]...", help="IDs of lines.", show_default=False)
    ] = None,
    cut: Annotated[bool, typer.Option("--cut", help="Nothing arrives at the far end.")] = False,
    one_way: Annotated[bool, typer.Option("--one-way", help="What the far end answers is lost.")] = False,
    loss: Annotated[str | None, typer.Option("--loss", metavar="PERCENT", help="Of the round trips.")] = None,
    delay: Annotated[
        str | None, typer.Option("--delay", metavar="TIME", help="More for each round trip: 300ms, 2s.")
    ] = None,
    mend: Annotated[bool, typer.Option("--mend", help="All is well again; without LINE, with all of them.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Have lines of a rehearsal fail (probe.rehearsal), or mend them; without a fault, show which fail now."""
    with exit_codes():
        loaded = configuration.load(config_in_use(config))
        file = _rehearsed(loaded)
        known = _lines(loaded)
        named = _named(lines or [], known)
        wanted = _fault(cut=cut, one_way=one_way, loss=loss, delay=delay)
        faults = read_faults(file)
        if wanted and not named:
            raise ConfigError(["whose fault? expected LINE, such as netmon rehearse fibre-coast --cut"])
        if wanted or mend:
            faults = changed(faults, named or known, wanted, mend=mend)
            write_faults(file, faults)
        _print_faults({name: faults[name] for name in named or known if name in faults}, as_json=as_json)


def _rehearsed(config: Config) -> Path:
    if not (config.probe.rehearsal and config.probe.enabled):
        cure = "such as config/sample.yml, which `make run` uses"
        raise ConfigError(
            [f"probe.rehearsal is off: the real lines are asked. Expected a configuration with it, {cure}"]
        )
    return rehearsal_file(config)


def _lines(config: Config) -> list[str]:
    if config.region.file is None:
        raise ConfigError(["region.file: names no region, so there are no lines"])
    return [line.id for line in schema.read(config.region.file).lines]


def _named(given: Sequence[str], known: Sequence[str]) -> list[str]:
    mistakes = []
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            cure = f"did you mean {near[0]}?" if near else "`netmon inventory show lines` shows them"
            mistakes.append(f"{printable(name)}: there is no such line; {cure}")
    if mistakes:
        raise ConfigError(mistakes)
    return list(given)


def _fault(*, cut: bool, one_way: bool, loss: str | None, delay: str | None) -> dict[str, bool | float]:
    """Fields of `Fault` that were asked for. Raises ConfigError."""
    fault: dict[str, bool | float] = {}
    if cut:
        fault["cut"] = True
    if one_way:
        fault["one_way"] = True
    if loss is not None:
        fault["loss"] = _percent(loss)
    if delay is not None:
        fault["delay_s"] = _delay(delay)
    return fault


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ConfigError([f"--loss: found {printable(text)!r}; expected percent, 0 to 100"])
    return percent / 100


def _delay(text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise ConfigError([f"--delay: {error}"]) from None
    if seconds > DELAY_MAX_S:
        raise ConfigError([f"--delay: found {printable(text)}; expected at most {DELAY_MAX_S:g}s"])
    return seconds


def changed(faults: Faults, lines: Sequence[str], wanted: dict[str, bool | float], *, mend: bool) -> Faults:
    """The faults with what is wanted of some lines; others keep theirs, and so do these, unless they are mended. Pure."""
    result = dict(faults)
    for name in lines:
        former = Fault() if mend else result.get(name, Fault())
        result[name] = msgspec.structs.replace(former, **wanted)
    return {name: fault for name, fault in result.items() if fault != Fault()}


def read_faults(file: Path) -> Faults:
    """The faults that are played; none without a file. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            return msgspec.json.decode(stream.read(FILE_BYTES_MAX + 1), type=Faults)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError([f"{file} cannot be read: {error.strerror}"]) from None
    except msgspec.DecodeError as error:
        raise ConfigError([f"{file} is not what netmon has written: {error}; expected that you delete it"]) from None


def write_faults(file: Path, faults: Faults) -> None:
    """Put the faults there at once, never in part. Raises ConfigError."""
    try:
        file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(faults))
        fresh.replace(file)
    except OSError as error:
        raise ConfigError([f"{file} cannot be written: {error.strerror}"]) from None


def _print_faults(faults: Faults, *, as_json: bool) -> None:
    for name, fault in faults.items():
        if as_json:
            print(msgspec.json.encode({"line": name, **msgspec.to_builtins(fault)}).decode())
        else:
            print(f"{name}: {', '.join(_words(fault))}")
    if not faults and not as_json:
        print("no line of the rehearsal fails")


def _words(fault: Fault) -> list[str]:
    words = [word for word, said in (("cut", fault.cut), ("one way only", fault.one_way)) if said]
    words += [f"loses {fault.loss:.0%}"] if fault.loss else []
    words += [f"{fault.delay_s:g} s more"] if fault.delay_s else []
    return words + ([f"{fault.duplicate:.0%} twice"] if fault.duplicate else [])
