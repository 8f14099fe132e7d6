"""The settings of every command. TOML files hold them, flags override them, the defaults are here.

All models are frozen and refuse unknown keys. `widedeep.common.command.load_config` fills them.
"""

from widedeep.config.baselines import (
    BASELINES,
    AlsGrid,
    BaselineName,
    BaselinesConfig,
    BiasGrid,
    EaseGrid,
    Grid,
    ImplicitAlsGrid,
    ItemKnnGrid,
    PopularityGrid,
    UserKnnGrid,
)
from widedeep.config.models import (
    ArchitectureConfig,
    GenreHybridConfig,
    ModelConfig,
    NCFConfig,
    RecommenderNetConfig,
    TowerConfig,
    WideDeepConfig,
    WideDeepCrossConfig,
    WideDeepFeaturesConfig,
)
from widedeep.config.prepare import (
    ExploreConfig,
    FeatureConfig,
    PrepareConfig,
    RatingsConfig,
    SplitConfig,
    SynthesizeConfig,
)
from widedeep.config.score import EvaluateConfig, ExportConfig, ScoreConfig, SimilarConfig
from widedeep.config.train import EmbeddingConfig, LoaderConfig, OptimConfig, TrainConfig

__all__ = [
    "BASELINES",
    "AlsGrid",
    "ArchitectureConfig",
    "BaselineName",
    "BaselinesConfig",
    "BiasGrid",
    "EaseGrid",
    "EmbeddingConfig",
    "EvaluateConfig",
    "ExploreConfig",
    "ExportConfig",
    "FeatureConfig",
    "GenreHybridConfig",
    "Grid",
    "ImplicitAlsGrid",
    "ItemKnnGrid",
    "LoaderConfig",
    "ModelConfig",
    "NCFConfig",
    "OptimConfig",
    "PopularityGrid",
    "PrepareConfig",
    "RatingsConfig",
    "RecommenderNetConfig",
    "ScoreConfig",
    "SimilarConfig",
    "SplitConfig",
    "SynthesizeConfig",
    "TowerConfig",
    "TrainConfig",
    "UserKnnGrid",
    "WideDeepConfig",
    "WideDeepCrossConfig",
    "WideDeepFeaturesConfig",
]
