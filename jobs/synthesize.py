"""Write a dump in the schema of MyAnimeList 2023, of any size, with a known answer planted in it.

    spark-submit jobs/synthesize.py --ratings 1e6 --seed 7 --output data/raw

The driver draws the anime (at most 25 K) and broadcasts them. Each task then draws whole blocks of users by itself:
nothing on the driver grows with the ratings, and the text does not depend on the number of tasks.
"""

from widedeep.spark.session import run_job
from widedeep.spark.synthesis.synthesize import main

if __name__ == "__main__":
    run_job(main)
