"""A scenario as data: what is done to drivers, whether other drivers follow, and what is done to wetland area."""

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ch4grid.vocabulary import DYNAMIC

# Drivers that a factor makes sense for, besides those whose range begins at zero.
POSITIVE = ("gpp",)


class Share(BaseModel):
    """A driver times a constant, e.g. `{times: 0.9}` for a tenth less rain."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    times: float = Field(ge=0.0, allow_inf_nan=False)


class Scenario(BaseModel):
    """What differs from history; nothing for `historical`.

    Args:
        add: Constant added to each driver named, in its units; taken as it is, also beyond the range of the driver.
        do: The same, or a factor as `{times: 0.9}` for drivers that cannot be negative; held in the driver's range.
        propagate: Whether the drivers that depend on the named ones follow, by the structural model of the checkpoint.
            Without it everything else stays as it was: a warmer world does not dry.
        response: How the flux answers changed drivers: `structural`, the model's prediction for the drivers as they
            were, moved by the structural flux equation of the class; `model`, its prediction for the changed drivers;
            `auto`, the first where the equation of some class holds a changed driver, else the second.
        drain: Share of the freshwater wetland that becomes upland [1].
        rewet: Freshwater wetland gained from the upland of the same cell, as a share of the wetland there is [1].
        inundation: Factor on the freshwater wetland, to or from the upland of the same cell [1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    add: dict[str, float] = Field(default_factory=dict)
    do: dict[str, float | Share] = Field(default_factory=dict)
    propagate: bool = False
    response: Literal["auto", "structural", "model"] = "auto"
    drain: float = Field(default=0.0, ge=0.0, le=1.0)
    rewet: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    inundation: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)

    @field_validator("add", "do")
    @classmethod
    def _drivers(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(value) - set(DYNAMIC))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no monthly driver of the vocabulary")
        signed = sorted(n for n, v in value.items() if isinstance(v, Share) and not _positive(n))
        if signed:
            raise ValueError(f"{', '.join(signed)} can be negative or has no true zero: no factor")
        return value

    @model_validator(mode="after")
    def _one_change_each(self) -> Self:
        twice = sorted(set(self.add) & set(self.do))
        if twice:
            raise ValueError(f"{', '.join(twice)} is changed by 'add' and by 'do'")
        if self.propagate and not self.forced:
            raise ValueError("'propagate' without a driver in 'do' or 'add': nothing to follow")
        return self

    @model_serializer(mode="wrap")
    def _told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without keys that change nothing: a recipe that does not name them keeps its digest."""
        told: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {
            n: v for n, v in told.items() if n == "add" or getattr(self, n) != _default(fields[n])
        }

    @property
    def forced(self) -> tuple[str, ...]:
        """Drivers that are given their value, in alphabetical order."""
        return tuple(sorted({*self.add, *self.do}))

    @property
    def by_equations(self) -> bool:
        """Whether the flux may answer by structural equations; areas alone ask for none."""
        return bool(self.forced) and self.response != "model"

    @property
    def wetland(self) -> float:
        """Factor on the area of freshwater wetland before the land sets a limit."""
        return (1.0 - self.drain) * (1.0 + self.rewet) * self.inundation

    @property
    def changes(self) -> bool:
        """Whether anything differs from history."""
        return bool(self.forced) or self.wetland != 1.0

    def in_words(self) -> tuple[str, ...]:
        """What is changed, one sentence each."""
        units = {n: DYNAMIC[n].units for n in self.forced}
        steps = {**self.add, **{n: v for n, v in self.do.items() if not isinstance(v, Share)}}
        shares = {n: v.times for n, v in self.do.items() if isinstance(v, Share)}
        told = [f"{DYNAMIC[n].long_name} ({n}) {steps[n]:+g} {units[n]}" for n in sorted(steps)]
        told += [f"{DYNAMIC[n].long_name} ({n}) times {shares[n]:g}" for n in sorted(shares)]
        told += [f"{self.drain:.0%} of the freshwater wetland drained to upland"] * bool(self.drain)
        told += [
            f"freshwater wetland rewetted by {self.rewet:.0%} of its area, from upland"
        ] * bool(self.rewet)
        if self.inundation != 1.0:
            told.append(f"area of freshwater wetland times {self.inundation:g}, to or from upland")
        return tuple(told)


def _positive(name: str) -> bool:
    return DYNAMIC[name].valid_range[0] == 0.0 or name in POSITIVE


def _default(field: Any) -> Any:
    return field.get_default(call_default_factory=True)
