"""HDF4 granules as tests need them: fields with attributes, and the structural metadata of a sinusoidal tile."""

import numpy as np
from pyhdf.SD import SD, SDC

from ch4grid.drivers.modis.sinusoidal import RADIUS, Window

KINDS = {"int8": SDC.INT8, "uint8": SDC.UINT8, "int16": SDC.INT16, "uint16": SDC.UINT16}

# A tile is 10 degrees of the equator wide and high.
TILE = np.deg2rad(10.0) * RADIUS

METADATA = """GROUP=SwathStructure
END_GROUP=SwathStructure
GROUP=GridStructure
	GROUP=GRID_1
		GridName="Grid"
		XDim={columns}
		YDim={rows}
		UpperLeftPointMtrs=({left:.6f},{top:.6f})
		LowerRightMtrs=({right:.6f},{bottom:.6f})
		Projection={projection}
		ProjParams=({radius:.6f},0,0,0,0,0,0,0,0,0,0,0,0)
		GROUP=DataField
{fields}
		END_GROUP=DataField
	END_GROUP=GRID_1
END_GROUP=GridStructure
END
"""


def write(path, fields, metadata=""):
    """A granule with fields given as name: (values, attributes)."""
    granule = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    for name, (values, attributes) in fields.items():
        data = granule.create(name, KINDS[values.dtype.name], values.shape)
        data.setcompress(SDC.COMP_DEFLATE, 1)
        for key, value in attributes.items():
            if key == "_FillValue":
                data.setfillvalue(value)
            elif key == "valid_range":
                data.setrange(*value)
            else:
                setattr(data, key, value)
        data[:] = np.ascontiguousarray(values)
        data.endaccess()
    if metadata:
        granule.attr("StructMetadata.0").set(SDC.CHAR8, metadata)
    granule.end()
    return path


def window(tile, size):
    """Where a tile lies, with so many pixels along an edge."""
    h, v = int(tile[1:3]), int(tile[4:6])
    return Window((h - 18) * TILE, (9 - v) * TILE, TILE / size, TILE / size, (size, size))


def write_tile(path, fields, tile, projection="GCTP_SNSOID"):
    """A granule on a tile, georeferenced by its structural metadata."""
    size = next(iter(fields.values()))[0].shape[0]
    place = window(tile, size)
    objects = "".join(f'\t\t\tDataFieldName="{name}"\n' for name in fields)
    text = METADATA.format(
        rows=size,
        columns=size,
        left=place.left,
        top=place.top,
        right=place.left + TILE,
        bottom=place.top - TILE,
        radius=RADIUS,
        projection=projection,
        fields=objects,
    )
    return write(path, fields, text)
