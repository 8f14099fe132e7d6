"""All baselines, and the settings that they add to the command: to add one, add it to BASELINES."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, create_model

from widedeep.baselines.base import Baseline
from widedeep.baselines.bpr_mf import BprMf
from widedeep.baselines.ease import Ease
from widedeep.baselines.edlae import Edlae
from widedeep.baselines.implicit_als import ImplicitAls
from widedeep.baselines.item_knn import ItemKnn
from widedeep.baselines.simple import Bias, GlobalMean, Popularity
from widedeep.baselines.slim import Slim
from widedeep.baselines.user_knn import UserKnn
from widedeep.config.baselines import BaselinesConfig
from widedeep.config.fields import comma_separated
from widedeep.spark.baseline_fits.als import Als, Mf

# In the order in which they are run and shown.
BASELINES: tuple[type[Baseline], ...] = (
    GlobalMean,
    Bias,
    Popularity,
    UserKnn,
    ItemKnn,
    Als,
    Mf,
    ImplicitAls,
    BprMf,
    Slim,
    Ease,
    Edlae,
)
B = TypeVar("B", bound=Baseline)


def config_class(baselines: tuple[type[Baseline], ...] = BASELINES) -> type[BaselinesConfig]:
    """Build the command's config: a section for each baseline that has settings, and `only` limited to their names."""
    names = tuple(baseline.name for baseline in baselines)
    only = Annotated[tuple[Literal[names], ...], BeforeValidator(comma_separated)]  # pyright: ignore
    description = BaselinesConfig.model_fields["only"].description
    fields: dict[str, Any] = {"only": (only, Field(default=names, description=description))}
    for baseline in baselines:
        if baseline.model_fields:
            fields[baseline.name] = (baseline, Field(default=baseline(), description=baseline.__doc__))
    return create_model("BaselinesConfig", __base__=BaselinesConfig, __doc__=BaselinesConfig.__doc__, **fields)


def configured(config: BaselinesConfig, baseline: type[B]) -> B:
    """Return a baseline with the settings that a config of `config_class` has for it."""
    return getattr(config, baseline.name, baseline())


def selected(config: BaselinesConfig) -> list[Baseline]:
    """Return the baselines that `only` names, in its order, with their settings."""
    classes = {baseline.name: baseline for baseline in BASELINES}
    return [configured(config, classes[name]) for name in config.only]
