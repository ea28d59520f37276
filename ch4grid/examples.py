"""An example or two of every command, shown at the end of its help."""

import typer

TINY = "recipes/tiny.yaml"
STORE = "products/ch4-twin-tiny/v1/historical.zarr"

# Words of a command to what one types after `ch4grid` and these words.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "plan": (f"{TINY} --year 2004", f"{TINY} --json --save plan.json"),
    "run": (TINY, f"{TINY} --year 2004 --year 2005", f"{TINY} --scenario warmer --year 2002"),
    "train": (f"{TINY} --cluster local:4",),
    "benchmark": (
        "recipes/benchmark-fluxnet-ch4.yaml --data DIR --models ridge,extra-trees --split loco,random",
        f"{TINY} --quick",
    ),
    "discover": ("recipes/causes-twin.yaml", f"{TINY} --quick"),
    "attribute": (f"{TINY} --from 2001 --to 2003", f"{TINY} --scenario warmer --year 2002"),
    "inventory": ("recipes/ch4-ecosystem-monthly.yaml --year 2024 --data DIR",),
    "fetch": ("recipes/ch4-ecosystem-monthly.yaml --year 2024 --data DIR --dry-run",),
    "verify": (STORE, "s3://bucket/ch4-twin-tiny/v1/historical.zarr"),
    "repair": (f"{STORE} --data .",),
    "status": (f"{STORE} --data .",),
    "rollback": (f'{STORE} --to 2002 --retract "a wrong map of 2003"',),
    "explain": (f"{STORE} --lat 62 --lon 24 --month 2001-07",),
    "mirror": (f"{STORE} s3://bucket/ch4-twin-tiny/v1/historical.zarr --catalog products/catalog",),
    "budget": (
        f"{STORE} --region tropics --year 2002",
        f"{STORE} --region countries.geojson --feature Brazil --compare",
    ),
    "export": (f"{STORE} --for cf-netcdf", f"{STORE} --for geoschem --years 2001-2002"),
    "browse": ("--catalog products/catalog --port 8000",),
    "doctor": ("--output products",),
    "catalog list": ("--json",),
    "catalog show": ("ch4-twin-tiny",),
    "catalog validate": ("--catalog products/catalog",),
}


def teach(app: typer.Typer, above: str = "") -> None:
    """Put the examples below the help of every command of an application and of the ones in it."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            teach(group.typer_instance, f"{above}{group.name} ")
    for command in app.registered_commands:
        name = above + str(command.name or getattr(command.callback, "__name__", ""))
        # lines of an epilog are joined unless an empty one stands between
        command.epilog = "\n\n".join(f"ch4grid {name} {x}" for x in EXAMPLES.get(name, ()))
