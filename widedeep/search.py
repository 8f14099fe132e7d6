"""Search for the settings of a training that are best on the valid split.

widedeep search --config ncf --data data/prepared --study runs/search --trials 50
"""

from collections.abc import Sequence

from widedeep.common.command import load_config
from widedeep.common.errors import InputError
from widedeep.parallel.world import join_world
from widedeep.training.plan import plan
from widedeep.training.settings import SearchConfig


def main(argv: Sequence[str]) -> None:
    """Search, and show the best trials, those of an interrupted search, too."""
    config = load_config(SearchConfig, argv, "train")
    try:
        from widedeep.training.search import results, study
    except ImportError as error:
        raise InputError(f"a search needs Optuna and tomli-w: pip install -e '.[search]' ({error})") from None
    with join_world(config.device, config.timeout_seconds) as world:
        search = study.prepare_search(config, world)
        if config.dry_run:
            plan(search.base, world)
            return
        with study.open_study(search) as opened:
            try:
                study.run_trials(search, opened, lambda: results.write_results(search, opened))
            finally:
                results.show_results(search, opened)
