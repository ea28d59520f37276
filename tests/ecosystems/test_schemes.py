import numpy as np
import pytest

from ch4grid.ecosystems import SEVEN_CLASSES, scheme_of, site_class, wetland_class
from ch4grid.errors import InputError, RecipeError
from ch4grid.vocabulary import AREA_LAYERS, ECOSYSTEMS


def test_wetlands_are_of_the_class_of_their_latitude():
    latitude = np.array([-60.0, -30.1, -29.9, 0.0, 29.9, 30.0, 54.9, 55.0, 80.0])
    temperate, tropical, boreal = "temperate-wetland", "tropical-floodplain", "boreal-peatland"
    expected = [temperate] * 2 + [tropical] * 3 + [temperate] * 2 + [boreal] * 2
    assert wetland_class(latitude).tolist() == expected
    assert str(wetland_class(10.0)) == tropical


def test_the_scheme_names_every_layer_in_its_precedence_and_only_known_classes():
    assert tuple(SEVEN_CLASSES.layers) == AREA_LAYERS
    made = {*SEVEN_CLASSES.layers.values(), *SEVEN_CLASSES.sites.values()} - {None, "by latitude"}
    made |= {band.ecosystem for band in SEVEN_CLASSES.bands} | {SEVEN_CLASSES.rest}
    assert made == set(ECOSYSTEMS)


@pytest.mark.parametrize(
    ("classification", "igbp", "upland_class", "latitude", "expected"),
    [
        ("Bog", "WET", "", 61.0, "boreal-peatland"),
        ("Fen", "WET", "", 47.0, "temperate-wetland"),
        ("Swamp", "EBF", "", -2.0, "tropical-floodplain"),
        ("Wet tundra", "OSH", "", 70.0, "boreal-peatland"),
        ("Salt marsh", "WET", "", 35.0, "coastal"),
        ("Mangrove", "EBF", "", 22.0, "coastal"),
        ("Rice", "CRO", "", 38.0, "rice-paddy"),
        ("Upland", "URB", "Urban", 51.0, "urban"),
        ("Upland", "ENF", "Needleleaf forest", 60.0, "upland"),
        ("Drained", "CRO", "Crop - corn", 38.0, "upland"),
        ("Lake", "WAT", "", 60.0, None),
    ],
)
def test_towers_are_of_the_class_of_their_site_table(
    classification, igbp, upland_class, latitude, expected
):
    assert site_class(classification, igbp, upland_class, latitude) == expected


def test_an_unknown_classification_is_refused_with_the_choice():
    with pytest.raises(InputError, match=r"bog, fen.*Found 'Puddle'"):
        site_class("Puddle", "WET", "", 0.0)


def test_an_unknown_scheme_is_refused_with_the_choice():
    assert scheme_of("seven-classes") is SEVEN_CLASSES
    with pytest.raises(RecipeError, match=r"Expected seven-classes\. Found nine"):
        scheme_of("nine")
