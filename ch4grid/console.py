"""What a command says on standard output: text and tables, on a terminal, into a file or to another program."""

from typing import Any

from rich.console import Console
from rich.table import Column, Table

# Columns of a table that goes to a file or another program.
FILE_WIDTH = 200


def say(text: str) -> None:
    """Print text on standard output as it is."""
    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def say_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Print some columns of rows as a table on standard output."""
    # folded in a narrow terminal, never cut: a cut name is no name
    table = Table(*(Column(c, overflow="fold") for c in columns))
    for row in rows:
        table.add_row(
            *(f"{v:.3f}" if isinstance(v := row.get(c), float) else str(v) for c in columns)
        )
    console = Console(markup=False)  # brackets of ch4grid[fetch] are no markup
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(table)
