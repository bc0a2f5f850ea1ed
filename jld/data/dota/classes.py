"""Class names of DOTA and the other datasets of rotated boxes, in the order of the published detectors'
outputs.
"""

from __future__ import annotations

from jld.errors import one_of

DOTA1_CLASSES = (
    "plane", "baseball-diamond", "bridge", "ground-track-field", "small-vehicle", "large-vehicle", "ship",
    "tennis-court", "basketball-court", "storage-tank", "soccer-ball-field", "roundabout", "harbor",
    "swimming-pool", "helicopter",
)  # fmt: skip
DOTA1_5_CLASSES = (*DOTA1_CLASSES, "container-crane")
DOTA2_CLASSES = (*DOTA1_5_CLASSES, "airport", "helipad")

SHIP_CLASSES = ("ship",)

FAIR_CLASSES = (
    "Boeing737", "Boeing747", "Boeing777", "Boeing787", "C919", "A220", "A321", "A330", "A350", "ARJ21",
    "other-airplane", "Passenger_Ship", "Motorboat", "Fishing_Boat", "Tugboat", "Engineering_Ship",
    "Liquid_Cargo_Ship", "Dry_Cargo_Ship", "Warship", "other-ship", "Small_Car", "Bus", "Cargo_Truck",
    "Dump_Truck", "Van", "Trailer", "Tractor", "Excavator", "Truck_Tractor", "other-vehicle",
    "Basketball_Court", "Tennis_Court", "Football_Field", "Baseball_Field", "Intersection", "Roundabout",
    "Bridge",
)  # fmt: skip
"""FAIR1M 1.0 with underscores for spaces, as in label files."""

FAIR1M_1_5_CLASSES = (
    "Airplane", "Ship", "Vehicle", "Basketball_Court", "Tennis_Court", "Football_Field", "Baseball_Field",
    "Intersection", "Roundabout", "Bridge",
)  # fmt: skip

DIOR_CLASSES = (
    "airplane", "airport", "baseballfield", "basketballcourt", "bridge", "chimney",
    "expressway-service-area", "expressway-toll-station", "dam", "golffield", "groundtrackfield", "harbor",
    "overpass", "ship", "stadium", "storagetank", "tenniscourt", "trainstation", "vehicle", "windmill",
)  # fmt: skip

HRSC_CLASS_IDS = {
    "01": "ship", "02": "aircraft-carrier", "03": "warcraft", "04": "merchant-ship", "05": "Nimitz",
    "06": "Enterprise", "07": "Arleigh-Burke", "08": "WhidbeyIsland", "09": "Perry", "10": "Sanantonio",
    "11": "Ticonderoga", "12": "Kitty-Hawk", "13": "Kuznetsov", "14": "Abukuma", "15": "Austen",
    "16": "Tarawa", "17": "Blue-Ridge", "18": "Container", "19": "OXo|--)", "20": "Car-carrier([]==[])",
    "22": "Hovercraft", "24": "yacht", "25": "CntShip(_|.--.--|_]=", "26": "Cruise", "27": "submarine",
    "28": "lute", "29": "Medical", "30": "Car-carrier(======|", "31": "Ford-class", "32": "Midway-class",
    "33": "Invincible-class",
}  # fmt: skip
"""{last two digits of Class_ID in HRSC2016: name with hyphens for spaces}."""
HRSC_CLASSES = tuple(HRSC_CLASS_IDS.values())

CLASSES_BY_TYPE = {
    "DOTA": DOTA1_CLASSES,
    "DOTA1": DOTA1_CLASSES,
    "DOTA1_5": DOTA1_5_CLASSES,
    "DOTA2": DOTA2_CLASSES,
    "FAIR": FAIR_CLASSES,
    "FAIR1M_1_5": FAIR1M_1_5_CLASSES,
    "SSDD": SHIP_CLASSES,
    "SSDD+": SHIP_CLASSES,
    "HRSC2016": SHIP_CLASSES,
    "DIOR-R": DIOR_CLASSES,
}
VERSIONS = {"1": "DOTA", "1_5": "DOTA1_5", "2": "DOTA2"}

BENCHMARKS = {
    frozenset(DOTA1_CLASSES): "DOTA-1.0",
    frozenset(DOTA1_5_CLASSES): "DOTA-1.5",
    frozenset(DOTA2_CLASSES): "DOTA-2.0",
}
"""{class names: the public benchmark they belong to}."""


def classes_of(dataset_type: str) -> tuple[str, ...]:
    """Class names of a dataset type of a config.

    Raises:
        ConfigError: unknown type; says the nearest one.
    """
    one_of(dataset_type, CLASSES_BY_TYPE, f"unknown dataset type {dataset_type!r}")
    return CLASSES_BY_TYPE[dataset_type]


def classes_of_version(version: str) -> tuple[str, ...]:
    """Class names of a `version` of `DOTADataset`.

    Raises:
        ConfigError: unknown version; says the nearest one.
    """
    known = [*VERSIONS, *CLASSES_BY_TYPE]
    one_of(version, known, f"DOTADataset knows no version {version!r}")
    return classes_of(VERSIONS.get(version, version))
