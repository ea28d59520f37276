"""What the ecosystem classes are to others: sectors of GEOS-Chem's methane simulation and categories of the IPCC.

Only what holds without doubt is mapped. A class that inventories split, or leave out, has no category, and says why.
"""

from dataclasses import dataclass

NOT_REPORTED = (
    "inventories report managed wetlands only; the class does not tell managed from natural ones"
)


@dataclass(frozen=True)
class Sector:
    """What a class is to others.

    Args:
        hemco: Category of the species CH4 in HEMCO_Config.rc of the carbon simulation; None where it is spread over
            several.
        hemco_name: Name of that category.
        ipcc: Category of the 2006 IPCC Guidelines; empty where none holds all of the class and nothing else.
        note: Why it is so, and what would be counted twice.
    """

    hemco: int | None
    hemco_name: str
    ipcc: str
    note: str


# Source of the categories: HEMCO_Config.rc of the methane simulation in GEOS-Chem 14 (EmisCH4_Wetlands is 10, _Rice 7,
# _SoilAbsorb 14); 2006 IPCC Guidelines, vol. 4, table 1.1 (3C7 rice cultivation), and the 2013 Wetlands Supplement.
SECTORS: dict[str, Sector] = {
    "tropical-floodplain": Sector(10, "wetlands", "", NOT_REPORTED),
    "boreal-peatland": Sector(10, "wetlands", "", NOT_REPORTED),
    "temperate-wetland": Sector(10, "wetlands", "", NOT_REPORTED),
    "coastal": Sector(10, "wetlands", "", NOT_REPORTED),
    "rice-paddy": Sector(
        7, "rice", "3.C.7", "the same source as rice in EDGAR and GRPI: use one of them"
    ),
    "upland": Sector(
        14,
        "soil absorption",
        "",
        "net flux of dry soils, mostly uptake, which inventories do not report",
    ),
    "urban": Sector(
        None,
        "",
        "",
        "net flux of built-up area, which inventories spread over waste and energy: counted twice beside them",
    ),
}
UNKNOWN = Sector(None, "", "", "no mapping is known for this class")
WETLANDS = tuple(name for name, sector in SECTORS.items() if sector.hemco_name == "wetlands")


def sector_of(ecosystem: str) -> Sector:
    """What a class is to others."""
    return SECTORS.get(ecosystem, UNKNOWN)
