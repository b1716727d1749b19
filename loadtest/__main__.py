"""The command line of the load tests. Exit codes: 0 well, 1 something was lost or a bar was missed, 2 usage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadtest import lanes, report
from loadtest.earthquake import playing
from loadtest.earthquake import state as alarm_state
from loadtest.earthquake.story import Story
from loadtest.figures import bench as benches
from loadtest.figures.catalogue import FIGURES
from loadtest.figures.compare import RATES, RECEIVERS, SECONDS, climb
from loadtest.follow import Follower
from loadtest.profile import Profile, Shape, for_count
from loadtest.reconcile import Reconciliation, faults
from loadtest.ring import GSO_MAX, RingPlan
from loadtest.storm import Sent, StormPlan, default_batch, new_run, run_storm
from loadtest.target import allow_target, parse_target
from loadtest.templates import DEFAULT_MIX, RUN_MAX, RUN_MIN, SOURCES_MAX, Version
from netmon.errors import ConfigError, NetmonError

LOST, USAGE = 1, 2
VERSIONS: tuple[Version, ...] = ("v1", "v2c", "inform")
SHAPES: tuple[Shape, ...] = ("step", "ramp", "earthquake")
T = TypeVar("T", bound=str)
RESULTS = Path("bench-results")

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
# Into a file or a pipe, tables are not squeezed into the 80 columns of a terminal that is not there.
console = Console(width=None if sys.stdout.isatty() else 160)

WorkDir = Annotated[Path, typer.Option(help="Where the receivers under test keep their files: on the disk to test.")]
Results = Annotated[Path, typer.Option(help="Where JSON, tables and plots go.")]


@app.command()
def storm(
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Traps per second, else 1,000; the peak of ramp and earthquake.")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Seconds, else 10; of a disaster 120.")] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Traps; decides the duration. Of a disaster, else 1,000,000.")
    ] = None,
    sources: Annotated[int, typer.Option(min=1, max=SOURCES_MAX, help="Source addresses in 127.0.0.0/8.")] = 100,
    mix: Annotated[str, typer.Option(help="Kinds, each with an optional weight.")] = DEFAULT_MIX,
    version: Annotated[str, typer.Option(help="v1, v2c or inform.")] = "v2c",
    profile: Annotated[
        str, typer.Option(help="step, ramp or earthquake: a disaster, if netmon knows a region to play it in.")
    ] = "step",
    region: Annotated[Path | None, typer.Option(help="Region of the disaster, if not the configuration's.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Copies of the region, written to --region.")] = None,
    seed: Annotated[int, typer.Option(help="Of the disaster.")] = 1,
    verify: Annotated[bool, typer.Option(help="Compare netmon's alarms with those that the disaster implies.")] = False,
    target: Annotated[str, typer.Option(help="ADDRESS:PORT.")] = "127.0.0.1:1162",
    community: Annotated[str, typer.Option()] = "public",
    gso: Annotated[int, typer.Option(min=1, max=GSO_MAX, help="Datagrams a message; 8 makes the fastest storms.")] = 1,
    run: Annotated[
        int | None, typer.Option(min=RUN_MIN, max=RUN_MAX, help="Number of this storm; else one is drawn.")
    ] = None,
    inform_timeout: Annotated[float, typer.Option(min=0.01, help="Seconds until an INFORM is sent again.")] = 1.5,
    inform_retries: Annotated[int, typer.Option(min=0)] = 5,
    inform_window: Annotated[int, typer.Option(min=1, help="Most INFORMs without an answer.")] = 4_096,
    config: Annotated[Path | None, typer.Option(help="Of the netmon under test: reconcile at the end.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Instead of --config, with the embedded Valkey.")] = None,
    follow: Annotated[bool, typer.Option(help="Measure the latency with a reader of the streams.")] = False,
    drain_timeout: Annotated[float, typer.Option(help="Most seconds to wait until netmon is done.")] = 120,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file.")] = None,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
    allow_remote: Annotated[bool, typer.Option(help="Allow a target off the loopback.")] = False,
    i_may_load: Annotated[str | None, typer.Option(help="The target's address once more.")] = None,
) -> None:
    """Send a storm of numbered notifications, and with --config or --data-dir account for every one."""
    with _usage_errors():
        place, shape, number = parse_target(target), _one_of("--profile", profile, SHAPES), run or new_run()
        kind = _one_of("--version", version, VERSIONS)
        scene = playing.scene_of(playing.Asked(shape, kind, config, data_dir, region, devices, seed, verify))
        allow_target(place, allow_remote=allow_remote, i_may_load=i_may_load, sources=1 if scene.story else sources)
        deployment = _deployment(scene.config, data_dir, is_needed=verify)
        if scene.story:
            console.print(report.table("Disaster", ("what", "value"), playing.story_rows(scene.story)))
            course = playing.course(rate, duration, count)
            plan = playing.story_plan(scene.story, course, target=place, run=number, community=community)
        else:
            plan = StormPlan(
                ring=RingPlan(
                    target=place,
                    version=kind,
                    mix=tuple(mix.split(",")),
                    sources=sources,
                    community=community,
                    run=number,
                    gso=1 if kind == "inform" else gso,
                ),
                profile=_profile(shape, rate or 1_000, duration or 10, count),
                batch_max=default_batch(gso),
                inform_timeout_s=inform_timeout,
                inform_retries=inform_retries,
                inform_window=inform_window,
            )
        outcome = _storm(plan, deployment, follow=follow, drain_timeout_s=drain_timeout, quiet=quiet)
        if scene.story and deployment and verify:
            outcome = _verified(outcome, deployment, scene.story, drain_timeout)
    _end(outcome, json_file)


@app.command()
def compare(
    receivers: Annotated[str, typer.Option(help=f"Some of {', '.join(RECEIVERS)}.")] = ",".join(RECEIVERS),
    rates: Annotated[str, typer.Option(help="Offered traps per second.")] = ",".join(map(str, RATES)),
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each storm.")] = SECONDS,
    sources: Annotated[int, typer.Option(min=1, max=SOURCES_MAX)] = 500,
    mix: Annotated[str, typer.Option(help="As of storm; by default the 178-byte linkDown alone.")] = "linkdown",
    results: Results = RESULTS,
    work_dir: WorkDir = RESULTS / "work",
) -> None:
    """Measure netmon, snmptrapd and pysnmp on the same storms: a table, a JSON file and a plot."""
    with _usage_errors():
        names = [_one_of("--receivers", name, tuple(RECEIVERS)) for name in receivers.split(",")]
        ladder = sorted(float(rate) for rate in rates.split(","))
        rungs = []
        for rung in climb(
            names, ladder, seconds=seconds, sources=sources, mix=mix.split(","), work_dir=work_dir.absolute()
        ):
            rungs.append(rung)
            console.print(
                f"{rung.receiver:26} {rung.offered_rate:>9,.0f}/s  lost {rung.lost:>9,}  {rung.cpu_us:8.1f} µs/trap"
            )
    machine = benches.machine()
    rows = report.rung_rows(rungs)
    console.print(report.table(report.machine_line(machine), report.RUNG_HEADS, rows))
    base = results / f"compare-{report.stamp()}"
    report.write_json(base.with_suffix(".json"), {"machine": machine, "rungs": rungs})
    base.with_suffix(".md").write_text(f"{report.machine_line(machine)}\n\n{report.markdown(report.RUNG_HEADS, rows)}")
    report.plot(
        rungs, base.with_suffix(".png"), f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}"
    )
    console.print(f"written: {base}.json, .md, .png")


@app.command()
def bench(
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(FIGURES)}; may be repeated.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each figure: median, lowest and highest.")] = 1,
    quick: Annotated[
        bool, typer.Option(help="Seconds instead of minutes: shows that it works, proves nothing.")
    ] = False,
    results: Results = RESULTS,
    work_dir: WorkDir = RESULTS / "work",
) -> None:
    """Measure the figures that netmon promises, each with its bar: pass or miss."""
    done = []
    with _usage_errors():
        names = [_one_of("--only", name, tuple(FIGURES)) for name in only or FIGURES]
        for result in benches.run(names, repeat=repeat, quick=quick, work_dir=work_dir.absolute()):
            done.append(result)
            console.print(report.table(result.title, ("what", "median", "low", "high"), benches.figure_rows(result)))
            console.print(f"bar: {result.bar}\n{benches.verdict(result)}\n", style="green" if result.passed else "red")
            report.write_json(results / f"bench-{result.name}-{report.stamp()}.json", result)
    machine = report.machine_line(done[0].machine)
    text = f"{machine}\n\n{report.markdown(benches.HEADS, [benches.row(result) for result in done], numbers=False)}"
    (results / f"bench-{report.stamp()}.md").write_text(text)
    console.print(text, markup=False, soft_wrap=True)
    if not all(result.passed for result in done):
        raise typer.Exit(LOST)


class _Outcome(msgspec.Struct, frozen=True):
    """What `storm` writes as JSON."""

    sent: Sent
    balance: Reconciliation | None
    faults: list[str]
    story: Story | None = None
    """With --verify."""
    alarms: alarm_state.Outcome | None = None


def _storm(
    plan: StormPlan, deployment: lanes.Deployment | None, *, follow: bool, drain_timeout_s: float, quiet: bool
) -> _Outcome:
    if deployment is None:
        sent = _with_progress(plan, quiet)
        console.print(report.table("Sent", ("what", "value"), report.sent_rows(sent)))
        return _Outcome(sent, None, [f"{sent.unanswered:,} INFORMs were not answered"] if sent.unanswered else [])
    before = lanes.totals(deployment)
    follower = Follower(deployment) if follow else None
    sent = _with_progress(plan, quiet)
    console.print(report.table("Sent", ("what", "value"), report.sent_rows(sent)))
    port = plan.ring.target.port
    drain = lanes.await_drained(deployment, port, before, sent=sent.count, timeout_s=drain_timeout_s)
    latency = follower.stop() if follower else None
    balance = lanes.reconcile(deployment, sent, before, drain, latency)
    console.print(report.table("Reconciliation", ("what", "value"), report.balance_rows(balance)))
    return _Outcome(sent, balance, faults(balance))


def _verified(outcome: _Outcome, deployment: lanes.Deployment, story: Story, timeout_s: float) -> _Outcome:
    """The same, with what became of the alarms."""
    alarms = alarm_state.await_verdict(deployment, story, timeout_s=timeout_s)
    console.print(report.table("Alarms", ("what", "value"), playing.outcome_rows(alarms)))
    if alarms.verdict.differences:
        heads = ("alarm or area", "must be", "is")
        console.print(report.table("Differences", heads, playing.difference_rows(alarms), numbers=False))
    return msgspec.structs.replace(outcome, faults=[*outcome.faults, *alarms.faults], story=story, alarms=alarms)


def _with_progress(plan: StormPlan, quiet: bool) -> Sent:
    # Not refreshed by a thread of its own, which would take the interpreter from the sender at any moment.
    columns = (TextColumn("storm"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, auto_refresh=False, disable=quiet) as progress:
        task = progress.add_task("storm", total=plan.profile.total, rate="")
        seen = [time.monotonic(), 0.0]

        def show(sent: int) -> None:
            now_s = time.monotonic()
            rate = (sent - seen[1]) / (now_s - seen[0])
            seen[:] = now_s, sent
            progress.update(task, completed=sent, rate=f"{rate:,.0f}/s", refresh=True)

        return run_storm(plan, show)


def _end(outcome: _Outcome, json_file: Path | None) -> None:
    if json_file:
        report.write_json(json_file, outcome)
    if outcome.faults:
        raise typer.Exit(LOST)


def _deployment(config: Path | None, data_dir: Path | None, *, is_needed: bool) -> lanes.Deployment | None:
    if is_needed and config is None and data_dir is None:
        raise ConfigError(["--verify: expected --config or --data-dir of the netmon under test"])
    if config is not None:
        return lanes.from_config(config)
    return lanes.from_data_dir(data_dir) if data_dir is not None else None


def _profile(shape: Shape, rate: float, duration: float, count: int | None) -> Profile:
    if count is not None:
        return for_count(shape, rate, count)
    return Profile(shape=shape, rate=rate, duration_s=duration)


def _one_of(option: str, value: str, allowed: tuple[T, ...]) -> T:
    for choice in allowed:
        if choice == value:
            return choice
    raise ConfigError([f"{option}: found {value!r}; expected one of {', '.join(map(str, allowed))}"])


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turns what a person can put right into a message."""
    try:
        yield
    except (NetmonError, ValueError, OSError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        raise typer.Exit(USAGE) from None


if __name__ == "__main__":
    app()
