"""A product behind a URL as a lazy Dataset."""

import xarray as xr

from ch4grid.errors import InputError
from ch4grid.redaction import redacted
from ch4grid.remote.address import checked
from ch4grid.remote.attempts import refuse


def open_dataset(url: str) -> xr.Dataset:
    """The published state of a product; chunks are fetched when values are asked for.

    Only the group's consolidated metadata counts: what a mirror has not published yet cannot be seen.

    Raises:
        InputError: There is no published product at the URL.
        RecipeError: It carries credentials.
        RunError: The object store does not answer, or its client is not installed.
    """
    address = checked(url)
    try:
        opened: xr.Dataset = xr.open_zarr(address, consolidated=True)
        return opened
    except (FileNotFoundError, KeyError) as error:
        raise InputError(
            "no product here",
            where=address,
            expected="the Zarr group of a product",
            found=redacted(error),
        ) from None
    except Exception as error:
        refuse(address, error)
