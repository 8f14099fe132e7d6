"""All architectures. To add one, write a file and add its class to ARCHITECTURES; see docs/adding-a-model.md."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Tag

from widedeep.models.autoencoder import Autoencoder
from widedeep.models.base import Recommender
from widedeep.models.genre_hybrid import GenreHybrid
from widedeep.models.lightgcn import LightGCN
from widedeep.models.ncf import NCF
from widedeep.models.recommender_net import RecommenderNet
from widedeep.models.wide_deep import WideDeep
from widedeep.models.wide_deep_cross import WideDeepCross
from widedeep.models.wide_deep_features import WideDeepFeatures
from widedeep.models.wide_deep_history import WideDeepHistory

# The first is the default.
ARCHITECTURES: tuple[type[Recommender], ...] = (
    WideDeep,
    WideDeepFeatures,
    WideDeepCross,
    GenreHybrid,
    NCF,
    RecommenderNet,
    LightGCN,
    WideDeepHistory,
    Autoencoder,
)
REGISTRY: dict[str, type[Any]] = {architecture.name(): architecture for architecture in ARCHITECTURES}


def _chosen_name(section: Any) -> Any:
    """Return the name of the architecture that a section chooses; that of the default if it chooses none."""
    default = ARCHITECTURES[0].name()
    return section.get("name", default) if isinstance(section, dict) else getattr(section, "name", None)


# The section `[model]`: the settings of one architecture, chosen by its key `name`.
if TYPE_CHECKING:
    ModelConfig = Any
else:
    ModelConfig = Annotated[
        Union[tuple(Annotated[kind.config_class, Tag(name)] for name, kind in REGISTRY.items())],  # noqa: UP007
        Discriminator(_chosen_name),
    ]

__all__ = ["ARCHITECTURES", "REGISTRY", "ModelConfig", "Recommender"]
