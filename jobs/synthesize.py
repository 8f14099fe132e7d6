"""Write a dump in the schema of MyAnimeList 2023, of any size, with a known answer planted in it.

    spark-submit jobs/synthesize.py --ratings 1e6 --seed 7 --output data/raw

The driver draws the catalogue (25 K anime at most) and broadcasts it; each task then draws whole blocks
of users by itself, so nothing on the driver grows with the ratings, and the text is the same however
many tasks there are.
"""

from widedeep.spark.session import run_job
from widedeep.spark.synthesis.synthesize import main

if __name__ == "__main__":
    run_job(main)
