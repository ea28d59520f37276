"""`Discovery`: how causes are discovered, as a recipe says it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ch4grid.causal.preparation import STEPS_PER_YEAR


class Discovery(BaseModel):
    """How causes are discovered: step of the series, lags, significance, bootstrap and shrinkage.

    Args:
        step: Step of the series that discovery sees.
        regime: Steps whose flux is used: "all", or those of the "growing" season (soil, else air, above 0 degC), or
            the "frozen" rest. Drivers before such a step are used whatever their season.
        max_lag: Longest lag of the graph [months].
        max_weeks: Longest lag tested on weekly series [weeks].
        alpha: Significance level of a conditional independence test.
        test: "robust" maps every anomaly to normal scores before partial correlation, "linear" does not.
        bootstraps: Block-bootstrap replicates of links into the flux.
        driver_bootstraps: Replicates of links among drivers.
        block: Length of a bootstrap block [months].
        harmonics: Annual harmonics removed per site and variable.
        min_coverage: Steps measured for a smaller share than this are not used [1].
        min_years: Sites with less measured flux than this are not used [years].
        min_class_years: Classes with less measured flux than this rest on the pool [years].
        max_conditions: Largest number of contemporaneous conditions in one test.
        sites: Whether long sites are also looked at alone; costs about as much as all the rest for every dozen sites.
        min_site_weeks: Measured steps from which a weekly site is looked at alone.
        min_site_months: The same for a monthly site.
        site_bootstraps: Replicates of links into the flux of one site.
        bounds: Whether strengths of links into the flux get bootstrap intervals; half as much work again.
        shrink_site: Weight of its class against a site looked at alone [site years].
        shrink_class: Weight k1 of the pool against a class [site years].
        shrink_expert: Weight k2 of the expert against the pool.
        trust: Factor on all evidence from towers into the flux; 0 leaves the expert [1].
        report_rate: False discovery rate q below which a link is reported [1].
        report_frequency: Bootstrap frequency from which a link is reported [1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    step: Literal["month", "week"] = "month"
    regime: Literal["all", "growing", "frozen"] = "all"
    max_lag: int = Field(default=3, ge=0, le=12)
    max_weeks: int = Field(default=8, ge=1, le=26)
    alpha: float = Field(default=0.01, gt=0, lt=1)
    test: Literal["robust", "linear"] = "robust"
    bootstraps: int = Field(default=50, ge=1)
    driver_bootstraps: int = Field(default=10, ge=1)
    block: int = Field(default=6, ge=1)
    harmonics: int = Field(default=2, ge=1, le=4)
    min_coverage: float = Field(default=0.2, ge=0, le=1)
    min_years: float = Field(default=1.0, ge=0)
    min_class_years: float = Field(default=5.0, ge=0)
    max_conditions: int = Field(default=3, ge=0)
    sites: bool = False
    min_site_weeks: int = Field(default=150, ge=1)
    min_site_months: int = Field(default=60, ge=1)
    site_bootstraps: int = Field(default=20, ge=1)
    bounds: bool = False
    shrink_site: float = Field(default=20.0, ge=0)
    shrink_class: float = Field(default=5.0, ge=0)
    shrink_expert: float = Field(default=0.5, gt=0)
    trust: float = Field(default=1.0, ge=0, le=1)
    report_rate: float = Field(default=0.05, gt=0, le=1)
    report_frequency: float = Field(default=0.6, ge=0, le=1)

    @property
    def reach(self) -> int:
        """Longest lag tested, in steps of the series."""
        return self.max_lag if self.step == "month" else self.max_weeks

    @property
    def block_steps(self) -> int:
        """Length of a bootstrap block in steps of the series."""
        return max(1, round(self.block * STEPS_PER_YEAR[self.step] / 12))

    @property
    def thorough(self) -> "Discovery":
        """The same with long sites alone and intervals of strengths: for a report, not for a training fold."""
        return self.model_copy(update={"sites": True, "bounds": True})

    @property
    def min_site_steps(self) -> int:
        """Measured steps from which a site is looked at alone."""
        return self.min_site_months if self.step == "month" else self.min_site_weeks
