"""The section `[rerank]` of commands that write lists."""

from pydantic import Field

from widedeep.config.fields import Count, MaybeCount, MaybeText, Names, Settings, Share


class RerankConfig(Settings):
    """How lists are chosen from each person's best items; by default they are the best themselves."""

    candidates: Count = Field(default=200, ge=1, description="best items of each person that their list is chosen from")
    diversity: Share = Field(
        default=0.0,
        description="weight of being unlike the items before, by genres, against being wanted (1 - lambda of maximal "
        "marginal relevance)",
    )
    franchise_most: MaybeCount = Field(
        default=None, ge=1, description="most items of one franchise, such as seasons of a series; none: no limit"
    )
    next_part_only: bool = Field(
        default=False, description="hide an item whose predecessor in its franchise the person has not seen"
    )
    relations: MaybeText = Field(
        default=None,
        description="CSV file that tells franchises: the item, related_id and relation (sequel, prequel, …); none: "
        "titles tell them",
    )
    hide: Names = Field(
        default=(), description="what no list may hold, as column=value, such as type=Music,age_rating=Rx - Hentai"
    )
    popularity_discount: float = Field(
        default=0.0, ge=0, description="weight of being little known, against being wanted: more items are in some list"
    )
    explore: Share = Field(
        default=0.0,
        description="share of the places that go to a candidate drawn at random, little-known ones more often; 0.1: "
        "places 10, 20, …",
    )

    @property
    def chooses(self) -> bool:
        """Whether a list may differ from the best items that are not hidden."""
        return bool(self.diversity or self.franchise_most or self.popularity_discount or self.explore)

    @property
    def active(self) -> bool:
        """Whether any list may differ from the best items."""
        return self.chooses or self.next_part_only or bool(self.hide)

    def pool(self, top_n: int) -> int:
        """Return the number of candidates of each person for lists of `top_n`."""
        return max(top_n, self.candidates) if self.chooses else top_n
