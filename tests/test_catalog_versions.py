"""Laws of the order of versions, over any set of Items."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ch4grid.catalog import tree
from ch4grid.catalog.versions import versioned

Key = tuple[int, str, int]

keys = st.sets(
    st.tuples(
        st.integers(1, 12), st.sampled_from(["historical", "warmer"]), st.integers(2001, 2003)
    ),
    min_size=1,
)


def items_of(names: set[Key]) -> dict[Path, dict]:
    return {
        path_of(name): {
            "links": [tree.link("root", "../catalog.json")],
            "properties": {
                "version": str(name[0]),
                "ch4grid:scenario": name[1],
                "ch4grid:year": name[2],
                "deprecated": False,
            },
        }
        for name in names
    }


def path_of(name: Key) -> Path:
    folder = Path("/catalog/products/p") / "-".join(map(str, name))
    return folder / f"{folder.name}.json"


def linked(path: Path, item: dict, rel: str) -> Path | None:
    found = [tree.resolve(e["href"], path.parent) for e in tree.links(item, rel)]
    assert len(found) <= 1
    return found[0] if found else None


@given(keys)
def test_predecessor_and_successor_are_inverse(names: set[Key]) -> None:
    items = versioned(items_of(names))
    for path, item in items.items():
        after = linked(path, item, "successor-version")
        if after is not None:
            assert linked(after, items[after], "predecessor-version") == path


@given(keys)
def test_one_item_of_a_year_and_scenario_is_current_and_all_others_lead_to_it(
    names: set[Key],
) -> None:
    items = versioned(items_of(names))
    for scenario, year in {(n[1], n[2]) for n in names}:
        mine = [path_of(n) for n in names if n[1:] == (scenario, year)]
        current = path_of((max(n[0] for n in names if n[1:] == (scenario, year)), scenario, year))
        assert [p for p in mine if not items[p]["properties"]["deprecated"]] == [current]
        latest = {p: linked(p, items[p], "latest-version") for p in mine}
        assert latest == {p: None if p == current else current for p in mine}


@given(keys)
def test_ordering_again_changes_nothing_and_other_links_stay(names: set[Key]) -> None:
    items = versioned(items_of(names))
    assert versioned(items) == items
    assert all(tree.links(i, "root") for i in items.values())
