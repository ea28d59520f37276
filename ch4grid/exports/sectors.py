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
        place: Whose place the class takes in the category, in words.
        ipcc: Category of the 2006 IPCC Guidelines; empty where none holds all of the class and nothing else.
        note: Why there is that category or none.
    """

    hemco: int | None
    hemco_name: str
    place: str
    ipcc: str
    note: str


WETLAND_MAPS = "takes the place of WetCHARTs, LPJ and other maps of wetland emissions"
FRESHWATER = ("tropical-floodplain", "boreal-peatland", "temperate-wetland")

# Source of the categories: HEMCO_Config.rc of the methane simulation in GEOS-Chem 14 (EmisCH4_Wetlands is 10, _Rice 7,
# _SoilAbsorb 14); 2006 IPCC Guidelines, vol. 4, table 1.1 (3C7 rice cultivation), and the 2013 Wetlands Supplement.
SECTORS: dict[str, Sector] = {
    **{name: Sector(10, "wetlands", WETLAND_MAPS, "", NOT_REPORTED) for name in FRESHWATER},
    "coastal": Sector(10, "wetlands", WETLAND_MAPS, "", NOT_REPORTED),
    "rice-paddy": Sector(7, "rice", "takes the place of rice in EDGAR and GRPI", "3.C.7", ""),
    "upland": Sector(
        14,
        "soil absorption",
        "takes the place of MeMo and Fung; negative where soils take up methane",
        "",
        "net flux of dry soils, mostly uptake, which inventories do not report",
    ),
    "urban": Sector(
        None,
        "",
        "net flux of built-up area, which other inventories hold in several categories",
        "",
        "net flux of built-up area, which inventories spread over energy and waste",
    ),
}
UNKNOWN = Sector(None, "", "no mapping is known for this class", "", "no mapping is known")
WETLANDS = tuple(name for name, sector in SECTORS.items() if sector.hemco_name == "wetlands")


def sector_of(ecosystem: str) -> Sector:
    """What a class is to others."""
    return SECTORS.get(ecosystem, UNKNOWN)
