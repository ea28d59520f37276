"""From a recipe to the folder of its causal investigation: ask, run the chain, sum up, write once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ch4grid import __version__
from ch4grid.assembly import Assembly
from ch4grid.causal.prior import POOL
from ch4grid.findings import Check, Finding
from ch4grid.investigation import files
from ch4grid.investigation.chain import Answers, answer, effort
from ch4grid.investigation.claims import compare
from ch4grid.investigation.links import as_links
from ch4grid.investigation.overview import lead, overview
from ch4grid.investigation.question import Question, ask
from ch4grid.pages.causal import CausalPage, Unanswered
from ch4grid.recipe import Recipe
from ch4grid.stores import sha256_json

# Layout of the folder; a change makes every investigation anew.
FORMAT = 1
# The libraries whose version may change a result.
LIBRARIES = ("tigramite", "econml", "statsmodels", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Outcome:
    """What an investigation did: its folder, whether it was made now, what it says and what stayed unanswered."""

    folder: Path
    made: bool
    sentences: tuple[str, ...]
    unanswered: tuple[Mapping[str, Any], ...]

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.folder / "report.html"

    def as_dict(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "made": self.made,
            "sentences": list(self.sentences),
            "unanswered": [dict(u) for u in self.unanswered],
        }

    def in_words(self) -> str:
        """The outcome as lines for people."""
        done = [] if self.made else ["nothing to do: inputs, settings and version are the same"]
        missing = [f"not answered: {u['title']}: {u['reason']}" for u in self.unanswered]
        return "\n".join([*done, *self.sentences, *missing, f"report   {self.report}"])


def investigate(
    recipe: Recipe,
    assembly: Assembly,
    *,
    quick: bool = False,
    accept: bool = False,
    more: Sequence[Finding] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Investigate the causes of a recipe's flux unless that was done with the same inputs and settings.

    Args:
        recipe: The recipe.
        assembly: Its inputs, with the mapper that the parts of the chain run with.
        quick: Whether few replicates are enough.
        accept: Whether to go on with series that are not stationary or a graph that is nearly full.
        more: Findings made elsewhere that belong into the report, for instance attributions.
        tell: Told how long it will take.

    Raises:
        RecipeError: The recipe names no towers.
        InputError: A file is missing or wrong, or there are too few towers.
        RunError: The folder cannot be written.
    """
    question = ask(recipe, assembly, quick=quick, accept=accept)
    folder = assembly.workspace.output / "causal" / recipe.product
    fingerprint = _fingerprint(question, recipe, more)
    known = files.record(folder)
    if known.get("fingerprint") != fingerprint:
        tell(effort(question))
        answers = answer(question)
        answers.findings += more
        page, said = _summed_up(question, answers, recipe, fingerprint)
        known = {
            "format": FORMAT,
            "fingerprint": fingerprint,
            "sentences": said,
            "unanswered": [u._asdict() for u in answers.unanswered],
        }
        files.write(folder, page, answers.graph, answers.links, known)
        return Outcome(folder, True, tuple(said), tuple(known["unanswered"]))
    return Outcome(folder, False, tuple(known["sentences"]), tuple(known["unanswered"]))


def _fingerprint(question: Question, recipe: Recipe, more: Sequence[Finding]) -> str:
    versions = {name: version(name) for name in LIBRARIES}
    told: list[Any] = [FORMAT, __version__, versions, recipe.title, question.fingerprint()]
    told += [[finding.key, finding.table.to_csv(index=False)] for finding in more]
    return sha256_json(told)


def _summed_up(
    question: Question, answers: Answers, recipe: Recipe, fingerprint: str
) -> tuple[CausalPage, list[str]]:
    """The page, and its key sentences."""
    gate = gate_of(answers)
    step = question.config.step
    summary = overview(
        answers.links,
        answers.effects,
        flux=question.flux,
        towers=question.towers,
        step=step,
        gate=gate,
    )
    claims = compare(
        answers.links,
        answers.effects,
        answers.reversals,
        humidity=answers.humidity,
        ecosystems=question.ecosystems,
        flux=question.flux,
        gate=gate,
        towers=question.towers,
    )
    tested = list(dict.fromkeys(answers.links["ecosystem"]))
    told = lead(summary, question.ecosystems, tested, step)
    page = CausalPage(
        title=f"What drives the {question.gas.long_name} flux: {recipe.product}",
        summary=_introduced(question, recipe),
        product=f"{recipe.title}. {question.towers}",
        flux=f"{question.gas.formula.replace('4', '₄').replace('2', '₂')} flux",
        target=question.flux,
        drivers=tuple(answers.graph.provenance.get("tested", question.drivers)),
        step=f"{step}s",
        links={name: as_links(answers.links, name) for name in tested},
        gate=gate,
        overview=summary,
        lead=told,
        claims=claims,
        findings=tuple(answers.findings),
        unanswered=tuple(Unanswered(u.title, u.reason) for u in answers.unanswered),
        provenance=_provenance(question, fingerprint),
    )
    sentences = [gate.told]
    sentences += [f"{name}: {s}" for name, lines in told.items() for s in lines]
    sentences += [f"claims: {s}" for s in claims.answers]
    return page, sentences


def gate_of(answers: Answers) -> Check:
    """What the null controls say about the whole: the highest false-link rate over all towers together."""
    if answers.control is None or not answers.control.rates:
        return Check("null controls", None, "The null controls did not run: trust no link.")
    worst = answers.control.worst(POOL)
    passed = answers.control.trust.get(POOL, 0.0) >= 1.0
    rate = (
        f"Where nothing can cause the flux, the same discovery finds {worst.linked:.1%} of the links it tests"
        f" (90 % interval {worst.lower:.1%} to {worst.upper:.1%}; 5 % is allowed)"
    )
    told = (
        f"{rate}: the prior keeps its full weight."
        if passed
        else f"{rate}: the prior is drawn back to the expert's and no link is taken as shown."
    )
    return Check("false-link rate", passed, told)


def _introduced(question: Question, recipe: Recipe) -> str:
    said = (
        "This page reports what the towers of this recipe show about the causes of the flux: which drivers act, which"
        " way, after how long, how surely, and what the data cannot show. Season, trend and the mean of every tower are"
        " removed first: all is about departures from the usual year. A link is an association that no other measured"
        " driver explains; it is consistent with a cause, not a proof of one."
    )
    synthetic = any(getattr(s, "source", "") == "twin" for s in recipe.sites)
    return (
        f"{said} The towers are those of a synthetic planet with planted causes."
        if synthetic
        else said
    )


def _provenance(question: Question, fingerprint: str) -> dict[str, str]:
    settings = question.config.model_dump(mode="json")
    return {
        "ch4grid": __version__,
        "libraries": "\n".join(f"{name} {version(name)}" for name in LIBRARIES),
        "towers": ", ".join(map(str, question.series["site"].values)),
        "drivers": ", ".join(question.drivers),
        "settings": "\n".join(f"{k} {v}" for k, v in settings.items()),
        "seed": str(question.seed),
        "fingerprint": fingerprint,
    }
