"""The command line: arguments in, one of the package's functions, words out, an exit code.

Exit codes: 0 done, 1 failed run, 2 wrong usage or recipe, 3 missing or bad input. A user's mistake ends in one
paragraph on standard error, never in a traceback.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ch4grid import (
    __version__,
    budget_command,
    catalog_command,
    doctor_command,
    examples,
    export_command,
    making,
    mirror_command,
    store_commands,
)
from ch4grid.arguments import (
    FIRST_YEAR,
    LAST_YEAR,
    AsJson,
    CatalogDir,
    Cluster,
    Data,
    Output,
    Product,
    RecipeFile,
    Years,
    workspace,
)
from ch4grid.console import say, say_table
from ch4grid.errors import Ch4gridError, InputError, RunError
from ch4grid.progress import reporting
from ch4grid.stores import write_atomic

logger = logging.getLogger("ch4grid.cli")

# Exit code with which typer answers Ctrl-C.
INTERRUPTED = 130
STOPPED = RunError("stopped by the user", fix="What was published stays; a rerun goes on")

app = typer.Typer(
    name="ch4grid",
    help="Global monthly methane flux products from reanalysis, satellites and towers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(catalog_command.app, name="catalog")
app.command("budget")(budget_command.budget)
store_commands.join(app)
app.command("export")(export_command.export)
app.command("mirror")(mirror_command.mirror)
app.command("doctor")(doctor_command.doctor)


def main() -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if not sys.warnoptions:  # warnings of libraries are for developers, who ask for them with -W
        warnings.simplefilter("ignore")
    try:
        app(standalone_mode=True, prog_name="ch4grid")
    except Exception as error:
        logger.debug("the command ended in an error", exc_info=True)
        _end(error if isinstance(error, Ch4gridError) else _foreign(error))
    except KeyboardInterrupt:
        _end(STOPPED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _end(STOPPED)
        raise


def _end(error: Ch4gridError) -> NoReturn:
    """Leave with the paragraph of an error and its exit code."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"ch4grid: {error}")
    sys.exit(error.exit_code)


def _foreign(error: Exception) -> RunError:
    """The error for an exception that nothing on the way up has put in words."""
    told = " ".join(str(error).split())[:500]
    if isinstance(error, OSError) and error.filename is not None:
        return RunError(
            "the system refuses to read or write it",
            where=error.filename,
            found=error.strerror,
            fix="Check space and permissions; nothing published was changed",
        )
    return RunError(
        "an error that should not happen",
        found=f"{type(error).__name__}: {told}" if told else type(error).__name__,
        fix="Write `ch4grid --debug` before the command to see the traceback, and report it",
    )


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    logging.getLogger("ch4grid").setLevel(logging.DEBUG if debug else logging.NOTSET)
    if version:
        say(__version__)
        raise typer.Exit


app.command()(making.plan)
app.command()(making.run)


@app.command()
def train(
    recipe: RecipeFile,
    output: Output = Path("products"),
    data: Data = Path(),
    cluster: Cluster = "local",
    as_json: AsJson = False,
) -> None:
    """Fit the model of a recipe and keep its checkpoint; `run` uses it."""
    from ch4grid.recipe import load
    from ch4grid.running import train as train_recipe

    loaded = load(recipe)
    with reporting() as report:
        trained = train_recipe(loaded, workspace(data, output), cluster=cluster, report=report)
    say(json.dumps(trained.as_dict(), indent=2) if as_json else trained.in_words())


@app.command()
def benchmark(
    recipe: RecipeFile,
    output: Output = Path("products"),
    data: Data = Path(),
    models: Annotated[
        str, typer.Option(help="Models by name, separated by commas; those of the recipe.")
    ] = "",
    split: Annotated[
        str, typer.Option(help="Splits, separated by commas; those of the recipe.")
    ] = "",
    holdout: Annotated[
        Path | None,
        typer.Option("--holdout", help="Score towers of this folder, which no model has seen."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few groups of clusters, few models, no tuning.")
    ] = False,
    cluster: Cluster = "local",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the rows to this JSON file.")
    ] = None,
) -> None:
    """Score models on towers that they have not seen. The headline split leaves one 300 km cluster out.

    A run that was stopped goes on where it ended. Results, predictions and a page go to OUTPUT/benchmarks.
    """
    from ch4grid.running import benchmark as benchmark_recipe

    with reporting() as report:
        done = benchmark_recipe(
            recipe,
            workspace(data, output),
            models=_names(models),
            splits=_names(split),
            holdout=holdout,
            quick=quick,
            cluster=cluster,
            report=report,
        )
    if json_file is not None:
        write_atomic(json_file, (json.dumps(done.rows, indent=2) + "\n").encode())
    columns = ("nse", "asinh_nse", "r2", "mae", "rmse", "coverage90", "seconds")
    say_table(done.rows, ("model", "split", "n", *columns))
    say(f"page     {done.folder / 'index.html'}\ntables   {done.folder}")


@app.command()
def discover(
    recipe: RecipeFile,
    output: Output = Path("products"),
    data: Data = Path(),
    cluster: Cluster = "local",
    quick: Annotated[
        bool, typer.Option("--quick", help="Few replicates: a first look, wider intervals.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Go on with unstable series or a nearly full graph."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Investigate what drives the flux at a recipe's towers: graphs, effects, checks and one report to read."""
    from ch4grid.recipe import load
    from ch4grid.running import discover as discover_causes

    loaded = load(recipe)
    with reporting() as report:
        done = discover_causes(
            loaded,
            workspace(data, output),
            quick=quick,
            accept=accept,
            cluster=cluster,
            report=report,
        )
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())
    if done.unanswered:
        first = done.unanswered[0]
        raise RunError(
            f"{len(done.unanswered)} part(s) of the investigation ended in an error",
            where=first["title"],
            found=first["reason"],
            fix="The other parts are in the report",
        )


@app.command()
def attribute(
    recipe: RecipeFile,
    before: Annotated[
        str | None, typer.Option("--from", help="Year or period before, e.g. 2001 or 2001-2003.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--to", help="Year or period after; the last published.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="A scenario to compare with historical.")
    ] = None,
    year: Years = None,
    output: Output = Path("products"),
    data: Data = Path(),
    cluster: Cluster = "local",
    as_json: AsJson = False,
) -> None:
    """Say which driver contributes how much to a change: between two periods, or from historical to a scenario."""
    from ch4grid.recipe import load
    from ch4grid.running import attribute as attribute_change

    loaded = load(recipe)
    with reporting() as report:
        done = attribute_change(
            loaded,
            workspace(data, output),
            before=before,
            after=after,
            scenario=scenario,
            years=year,
            cluster=cluster,
            report=report,
        )
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())


@app.command()
def inventory(
    recipe: RecipeFile,
    year: Years = None,
    output: Output = Path("products"),
    data: Data = Path(),
    offline: Annotated[
        bool, typer.Option("--offline", help="Show sources on the network as last seen.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is held of every variable and month, spin-up included: final, preliminary, missing, damaged."""
    from ch4grid.inventory import inventory as make_inventory
    from ch4grid.recipe import load

    loaded = load(recipe)
    with reporting() as report:
        made = make_inventory(
            loaded, workspace(data, output), years=year, offline=offline, report=report
        )
    if as_json:
        say(json.dumps(made.as_dict(), indent=2))
    else:
        say_table(list(made.table()), ("source", "variable", "size", "held"))
        say(made.in_words())
    if made.lacking:
        first = made.lacking[0]
        named = " ".join(filter(None, (first.source, first.variable, first.month)))
        raise InputError(
            f"{len(made.lacking)} of {len(made.entries)} entries are missing or damaged",
            where=recipe,
            found=f"{named}: {first.reason or first.state}",
            fix="Bring them (`ch4grid fetch RECIPE --year Y` does where an archive has them)",
        )


@app.command()
def fetch(
    recipe: RecipeFile,
    year: Annotated[
        list[int],
        typer.Option("--year", help="A year to bring; repeatable.", min=FIRST_YEAR, max=LAST_YEAR),
    ],
    output: Output = Path("products"),
    data: Data = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, fetch nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download what a year lacks, spin-up included: missing, damaged and preliminary months."""
    from ch4grid.fetching import fetch as fetch_files
    from ch4grid.recipe import load

    loaded = load(recipe)
    with reporting() as report:
        done = fetch_files(loaded, workspace(data, output), year, dry_run=dry_run, report=report)
    say(json.dumps(done.as_dict(), indent=2) if as_json else done.in_words())
    if done.failed:
        raise RunError(
            f"{len(done.failed)} file(s) could not be fetched",
            where=done.failed[0].file,
            found=done.failed[0].reason,
            fix="A rerun goes on with what is still missing",
        )


@app.command()
def verify(store: Product, as_json: AsJson = False) -> None:
    """Read a product back against its ledger and its identities; name every damaged chunk."""
    from ch4grid.running import verify as verify_store

    problems = verify_store(store)
    say(
        json.dumps(problems, indent=2)
        if as_json
        else "\n".join(problems) or f"{store}: every chunk is as the ledger says."
    )
    if problems:
        raise typer.Exit(1)


@app.command()
def browse(
    catalog: CatalogDir = Path("products/catalog"),
    port: Annotated[int, typer.Option(help="Port on the loopback interface.")] = 8000,
) -> None:
    """Serve the catalog's pages and stores on this machine until stopped."""
    from ch4grid.pages import serve

    serve(catalog, port, started=lambda address: say(f"{address}  (stop with Ctrl-C)"))


examples.teach(app)


def _names(listed: str) -> list[str]:
    """Names of a list separated by commas."""
    return [name.strip() for name in listed.split(",") if name.strip()]


if __name__ == "__main__":
    main()
