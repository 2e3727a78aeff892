"""The command line: ``python -m ensemble_forecast VERB``. Nothing heavy is imported before a verb needs it."""

# Late imports are this module's purpose: --help answers before numpy or pandas have loaded.
# ruff: noqa: PLC0415

import errno
import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble_forecast.errors import BadInput, EnsembleForecastError, MissingPackage, Unfinished

if TYPE_CHECKING:
    from ensemble_forecast.study import Study

app = typer.Typer(
    name="ensemble-forecast",
    help="Forecast time series: search, stack, predict, and an honest verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130

StudyName = Annotated[
    str | None, typer.Option("--study", help="Name of the study; a file pipelines/NAME.toml says what to run. Default: the newest.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no logs.")]
Data = Annotated[Path | None, typer.Option("--data", help="CSV or parquet file, or a source such as ccxt:binance:BTC/USDT:1d.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes of one thread each. Default: one a core.")]
Engine = Annotated[str | None, typer.Option(envvar="ENSEMBLE_FORECAST_ENGINE", help="dask://HOST:PORT: a Dask cluster does the work.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda: where nets are trained.")]


@app.command()
def search(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    horizon: Annotated[int | None, typer.Option(help="Steps ahead, for data of your own.")] = None,
    target: Annotated[str | None, typer.Option(help="Column to forecast.")] = None,
    freq: Annotated[str | None, typer.Option(help="Calendar: D, h, W, MS ... Default: found in the stamps.")] = None,
    season: Annotated[int | None, typer.Option(help="Steps in a season.")] = None,
    kind: Annotated[str | None, typer.Option(help="quantiles or direction.")] = None,
    gaps: Annotated[str | None, typer.Option(help="error, mask or fill.")] = None,
    budget: Annotated[str | None, typer.Option(help="Total search time of the study, such as 90s, 2m, 1h.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop when so many trials have ended.")] = None,
    families: Annotated[str | None, typer.Option(help="Comma-separated learners; default: all in the space.")] = None,
    space: Annotated[str | None, typer.Option(help="Search space: a name in search_spaces/, or a path.")] = None,
    workers: Workers = None,
    device: Device = "auto",
    storage: Annotated[
        str | None,
        typer.Option(envvar="ENSEMBLE_FORECAST_STORAGE", help="Database URL: searches on any hosts join the study there; the runs folder is shared."),
    ] = None,
    engine: Engine = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; the old run folder is renamed, not lost.")] = False,
    seed: Annotated[int | None, typer.Option(help="Root of every random stream.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run or continue a study; ends with a leaderboard and the next command to type."""
    from ensemble_forecast import overview, workflow
    from ensemble_forecast.report import progress, terminal
    from ensemble_forecast.search.reach import reach
    from ensemble_forecast.study import open_study

    log = progress.logger(quiet)
    options = {
        "source": None if data is None else str(data),
        "horizon": horizon,
        "target": target,
        "freq": freq,
        "season": season,
        "kind": kind,
        "gaps": gaps,
        "budget": budget,
        "space": space,
        "families": tuple(families.split(",")) if families else None,
        "seed": seed,
    }
    if study is None:
        raise BadInput("say which study: --study btc runs the bundled sample; --study NAME --data FILE --horizon H runs data of your own")
    server, hire = reach(storage, engine)
    pipeline = workflow.pipeline_for(study, {key: value for key, value in options.items() if value is not None})
    opened = open_study(study, runs, pipeline, fresh=fresh, log=log)
    workflow.keep_pipeline(study, pipeline.model_copy(update={"season": opened.pipeline.season}), log)
    with progress.bar(f"search {study}", quiet) as show:
        summary = workflow.run_search(opened, n_trials=trials, workers=workers, device=device, hire=hire, storage=server, on_event=show)
    board = overview.leaderboard(opened.folder)
    transfers = overview.transfers(board)
    next_command = _command("stack", study, runs)
    if as_json:
        found = {"leaderboard": board, "transfers": transfers}
        _print_json({"study": study, "run": str(opened.folder.path), **summary, **found, "next": next_command})
        return
    terminal.print_leaderboard(board, opened.pipeline.score_name)
    for sentence in transfers:
        terminal.say(sentence)
    terminal.say(summary["sentence"])
    terminal.say(f"next: {next_command}")


@app.command()
def stack(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    budget: Annotated[str, typer.Option(help="Time for arms, contest and refits.")] = "1m",
    combiner: Annotated[str, typer.Option(help="auto for the contest, or a registered combiner.")] = "auto",
    size: Annotated[int, typer.Option(min=1, help="Most members in the ensemble.")] = 20,
    workers: Workers = None,
    device: Device = "auto",
    engine: Engine = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build, judge and save the ensemble of a study."""
    from ensemble_forecast import workflow
    from ensemble_forecast.deadline import Deadline, seconds
    from ensemble_forecast.report import progress, terminal
    from ensemble_forecast.search.reach import reach

    deadline = Deadline.after(seconds(budget))
    _, hire = reach(None, engine)
    opened = _reopen(study, runs, quiet)
    with progress.bar(f"stack {opened.name}", quiet) as show:
        summary = workflow.run_stack(opened, deadline, combiner=combiner, size=size, workers=workers, device=device, hire=hire, on_event=show)
    if as_json:
        _print_json(summary)
        return
    terminal.print_contest(summary)
    folder = opened.folder.path / "ensemble"
    terminal.say(f'saved: {folder}   (load it: ensemble_forecast.load("{folder}").predict(frame))')
    terminal.say(f"next: {_command('evaluate' if len(opened.plan.test) else 'predict', opened.name, runs)}")


@app.command()
def predict(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Write the forecast to a .csv or .parquet file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw history and forecast into a self-contained .html file.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Forecast the next horizon with the saved ensemble, from the study's data or from newer ones."""
    from ensemble_forecast import workflow
    from ensemble_forecast.report import progress, terminal
    from ensemble_forecast.saved import open_saved

    saved = open_saved(study, runs)
    frame = saved.history(data, progress.logger(quiet))
    table = saved.model.predict(frame)
    if plot is not None:
        from ensemble_forecast.report.plot import write_plot

        write_plot(plot, saved.model.history(frame), table)
    if out is not None:
        workflow.write_table(table, out)
    if as_json:
        _print_json({"study": saved.study, "forecast": json.loads(table.to_json(orient="records", date_format="iso"))})
    elif out is None:
        terminal.print_table(table)
    for written in (out, plot):
        if written is not None and not quiet:
            typer.echo(f"written: {written}", err=True)


@app.command()
def evaluate(study: StudyName = None, runs: Runs = Path("runs"), as_json: Json = False, quiet: Quiet = False) -> None:
    """Open the locked test origins and say whether there is evidence of skill. A second opening is allowed, and recorded."""
    from ensemble_forecast.judging import run_evaluate
    from ensemble_forecast.report import terminal

    verdict = run_evaluate(_reopen(study, runs, quiet))
    if as_json:
        _print_json(verdict)
    else:
        terminal.print_verdict(verdict)


@app.command()
def report(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="File to write, ending in .html. Default: report.html in the run folder.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained HTML page of a run, readable without network; it opens no test origin."""
    from ensemble_forecast.findings.run import findings
    from ensemble_forecast.report.page import write_page

    opened = _reopen(study, runs, quiet)
    path = opened.folder.path / "report.html" if out is None else out
    write_page(path, findings(opened))
    if as_json:
        _print_json({"study": opened.name, "report": str(path), "bytes": path.stat().st_size})
    elif not quiet:
        typer.echo(f"written: {path}", err=True)


@app.command()
def status(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds until interrupted.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a study, also while it runs elsewhere."""
    from ensemble_forecast import overview
    from ensemble_forecast.report import terminal

    name = overview.newest(runs) if study is None else study
    if as_json:
        _print_json(overview.status(name, runs))
    elif watch:
        terminal.watch(lambda: overview.status(name, runs))
    else:
        terminal.print_status(overview.status(name, runs), brief=quiet)


@app.command()
def depth(
    study: Annotated[str, typer.Option("--study", help="Name of the study; a file pipelines/NAME.toml says what to run.")],
    runs: Runs = Path("runs"),
    data: Data = None,
    layers: Annotated[str, typer.Option(help="Depths to compare.")] = "8,75,800,1000,2000",
    budget: Annotated[str, typer.Option(help="Time in all.")] = "20m",
    seeds: Annotated[int, typer.Option(min=2, help="Nets of each depth.")] = 3,
    width: Annotated[int, typer.Option(min=1, help="Units of every layer.")] = 64,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask whether deeper nets forecast any better: same data, same time, and the same steps; writes depth_report.json."""
    from ensemble_forecast import depth as study_of_depth
    from ensemble_forecast import workflow
    from ensemble_forecast.deadline import seconds
    from ensemble_forecast.report import progress, terminal
    from ensemble_forecast.search.pool import default_workers
    from ensemble_forecast.study import open_study

    if not all(part.strip().isdigit() for part in layers.split(",")):
        raise BadInput(f"--layers must be whole numbers between commas, such as 8,75,800; got {layers!r}")
    log = progress.logger(quiet)
    pipeline = workflow.pipeline_for(study, {} if data is None else {"source": str(data)})
    opened = open_study(study, runs, pipeline, log=log)
    depths = [int(part) for part in layers.split(",")]
    report = study_of_depth.run(opened, depths, seconds(budget), seeds=seeds, width=width, workers=workers or default_workers(), log=log)
    if as_json:
        _print_json(report)
    else:
        terminal.print_depth(report)


@app.command()
def serve(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    host: Annotated[str, typer.Option(help="Address to listen on; one that other machines reach needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8000,
    token: Annotated[str | None, typer.Option(envvar="ENSEMBLE_FORECAST_TOKEN", help="What requests must bear to be answered.")] = None,
    most_mib: Annotated[float, typer.Option(min=0.001, help="Largest request.")] = 4.0,
    time_limit: Annotated[str, typer.Option(help="Longest wait for an answer.")] = "30s",
    queue: Annotated[int, typer.Option(min=1, help="Predictions taken on at a time, of which one runs.")] = 4,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer forecasts over HTTP with the saved ensemble, until interrupted."""
    from ensemble_forecast.deadline import seconds
    from ensemble_forecast.saved import open_saved

    with _needing("serve"):
        from ensemble_forecast import serving
    saved = open_saved(study, runs)

    def told(url: str) -> None:
        if as_json:
            _print_json({"study": saved.study, "url": url})
        elif not quiet:
            typer.echo(f"study {saved.study} answers at {url}/predict, /predict_proba, /metadata and /health; Ctrl-C ends it", err=True)

    serving.run(saved, host, port, token, serving.Limits(most_mib=most_mib, seconds=seconds(time_limit), queue=queue), told)


@app.command()
def export(
    study: StudyName = None,
    runs: Runs = Path("runs"),
    data: Data = None,
    format: Annotated[str, typer.Option("--format", help="onnx.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: onnx in the run folder.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the members and the combiner of the saved ensemble as graphs for other runtimes, each compared with what it stands for."""
    from ensemble_forecast.report import progress, terminal
    from ensemble_forecast.saved import open_saved

    if format != "onnx":
        raise BadInput(f"--format must be onnx; got {format!r}")
    with _needing("export"):
        from ensemble_forecast import export as exporting
    saved = open_saved(study, runs)
    frame = saved.history(data, progress.logger(quiet))
    told = exporting.export(saved, frame, saved.path / "onnx" if out is None else out)
    if as_json:
        _print_json(told)
    else:
        terminal.print_export(told, brief=quiet)


@app.command()
def doctor(
    data: Annotated[Path, typer.Option("--data", help="CSV or parquet file to check.")],
    target: Annotated[str | None, typer.Option(help="Column to forecast.")] = None,
    freq: Annotated[str | None, typer.Option(help="Calendar the stamps should lie on.")] = None,
    fix: Annotated[Path | None, typer.Option(help="Write a mended copy to this .csv or .parquet file.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a data file: every problem with series, row, column and the fix."""
    from ensemble_forecast import workflow
    from ensemble_forecast.report import terminal

    report = workflow.run_doctor(data, target, freq, fix)
    if as_json:
        _print_json(report)
    elif not quiet:
        terminal.print_doctor(report)
    if report["problems"] and fix is None:
        raise typer.Exit(2)


@app.command("list")
def list_names(
    kind: Annotated[str, typer.Argument(help="nets, learners, combiners, features, sources, metrics, spaces, pipelines or studies.")],
    runs: Runs = Path("runs"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what there is; with --quiet the names alone."""
    from ensemble_forecast import overview
    from ensemble_forecast.report import terminal

    entries = overview.list_kind(kind, runs)
    if as_json:
        _print_json({kind: entries})
    else:
        terminal.print_entries(entries, brief=quiet)


def main() -> None:
    """Run a verb; errors become one message and an exit code: 2 bad input, 3 could not finish, 130 interrupted."""
    try:
        app(standalone_mode=True)
    except Unfinished as error:
        _fail(str(error), 3)
    except EnsembleForecastError as error:
        _fail(str(error), 2)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer turns Ctrl-C into this
            _end_interrupted()
        raise
    except KeyboardInterrupt:  # a second one, while the first was being obeyed
        _end_interrupted()
    except BrokenPipeError:
        sys.exit(0)
    except PermissionError as error:
        _fail(f"cannot write to {error.filename}: permission denied; choose another folder with --runs or --out", 2)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG):
            _fail(
                f"the disk is full ({error.filename or 'while writing'}); what was finished is saved: free space, then type the same command again",
                3,
            )
        if error.errno in (errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            _fail(f"cannot write to {error.filename}: {error.strerror}; choose another folder with --runs or --out", 2)
        raise


def _reopen(study: str | None, runs: Path, quiet: bool) -> "Study":
    """Open an existing study, the newest by default."""
    from ensemble_forecast import overview
    from ensemble_forecast.report import progress
    from ensemble_forecast.study import reopen

    return reopen(overview.newest(runs) if study is None else study, runs, log=progress.logger(quiet))


def _command(verb: str, study: str, runs: Path) -> str:
    """Write the command to type next."""
    return f"python -m ensemble_forecast {verb} --study {shlex.quote(study)}" + ("" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}")


@contextmanager
def _needing(extra: str) -> Iterator[None]:
    """Name the extra to install where a package of it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackage(f'{extra} needs {error.name}, which is not installed: pip install "ensemble-forecast[{extra}]"') from error


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, default=str))


def _end_interrupted() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    typer.echo("interrupted; everything finished so far is saved. Type the same command again to continue", err=True)
    sys.exit(INTERRUPTED)


def _fail(message: str, code: int) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)
